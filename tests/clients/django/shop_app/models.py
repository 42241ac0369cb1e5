"""Tables of each kind: customers and orders split by the customer, kinds on every node, notes on one."""

from django.db import models


class Customer(models.Model):
    id = models.BigIntegerField(primary_key=True)
    name = models.CharField(max_length=50)
    joined = models.DateTimeField(null=True)
    data = models.JSONField(default=dict)

    class Meta:
        db_table = "customer"
        indexes = [models.Index(fields=["name"], name="customer_name")]


class Kind(models.Model):
    id = models.IntegerField(primary_key=True)
    name = models.CharField(max_length=20, unique=True)

    class Meta:
        db_table = "kind"


class Order(models.Model):
    pk = models.CompositePrimaryKey("customer_id", "id")
    id = models.BigIntegerField()
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="orders")
    kind = models.ForeignKey(Kind, models.PROTECT)
    total = models.DecimalField(max_digits=10, decimal_places=2)

    class Meta:
        db_table = "orders"
        constraints = [models.CheckConstraint(condition=models.Q(total__gte=0), name="total_not_negative")]


class Note(models.Model):
    text = models.TextField()
    made = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "note"
