"""Django's ORM: what it sends for the usual work of a shop. Run by record.sh."""

import os

import django
from django.apps import AppConfig
from django.conf import settings



class Shop(AppConfig):
    name = "__main__"
    label = "shop"
    path = os.path.dirname(os.path.abspath(__file__))


settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "__main__.Shop"],
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": os.environ["PGDATABASE"], "USER": "app",
                           "HOST": os.environ["PGHOST"], "PORT": os.environ["PGPORT"]}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField", USE_TZ=True, SECRET_KEY="x",
)
django.setup()
from django.core.management import call_command  # noqa: E402
from django.db import connection, models, transaction  # noqa: E402
from django.db.models import Avg, Case, Count, Exists, F, OuterRef, Q, Subquery, Sum, Value, When, Window  # noqa: E402
from django.db.models.functions import Coalesce, Lower, RowNumber, TruncMonth  # noqa: E402


class Customer(models.Model):
    name = models.CharField(max_length=100)
    email = models.EmailField(unique=True, null=True)
    joined = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "shop"


class Order(models.Model):
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="orders")
    total = models.DecimalField(max_digits=12, decimal_places=2)
    status = models.CharField(max_length=20, db_index=True)
    tags = models.JSONField(default=dict)
    placed = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "shop"
        ordering = ["-placed", "id"]


call_command("migrate", verbosity=0)
with connection.schema_editor() as editor:
    editor.create_model(Customer)
    editor.create_model(Order)
connection.introspection.get_table_list(connection.cursor())
for table in ("shop_order", "shop_customer"):
    connection.introspection.get_table_description(connection.cursor(), table)
    connection.introspection.get_constraints(connection.cursor(), table)
    connection.introspection.get_sequences(connection.cursor(), table)
ann = Customer.objects.create(name="ann", email="ann@x")
Customer.objects.bulk_create([Customer(name=f"c{i}", email=f"c{i}@x") for i in range(5)])
Customer.objects.bulk_create([Customer(name="ann", email="ann@x")], update_conflicts=True, unique_fields=["email"],
                             update_fields=["name"])
Customer.objects.bulk_create([Customer(name="ann", email="ann@x")], ignore_conflicts=True)
Customer.objects.get_or_create(email="bob@x", defaults={"name": "bob"})
Customer.objects.update_or_create(email="bob@x", defaults={"name": "Bob"})
orders = Order.objects.bulk_create([Order(customer=ann, total=i, status="new", tags={"n": i}) for i in range(9)])
list(Order.objects.filter(customer=ann, status__in=["new", "paid"])[:5])
list(Order.objects.filter(customer_id=1).select_related("customer")[2:4])
list(Customer.objects.prefetch_related("orders"))
list(Order.objects.filter(Q(status="new") | Q(total__gt=5), ~Q(customer__name__icontains="z")).distinct())
list(Order.objects.filter(tags__n=3), )
list(Order.objects.filter(tags__contains={"n": 1}), )
list(Order.objects.filter(placed__year=2026, placed__month__gte=2).values_list("id", flat=True))
list(Customer.objects.annotate(n=Count("orders"), s=Coalesce(Sum("orders__total"), Value(0), output_field=models.DecimalField())).filter(n__gt=1).order_by("-s"))
list(Order.objects.annotate(month=TruncMonth("placed")).values("month").annotate(Sum("total"), Avg("total")).order_by("month"))
list(Order.objects.annotate(r=Window(RowNumber(), partition_by=[F("customer_id")], order_by=F("total").desc())).filter(r__lte=2))
list(Customer.objects.filter(Exists(Order.objects.filter(customer=OuterRef("pk"), status="new"))))
list(Customer.objects.annotate(last=Subquery(Order.objects.filter(customer=OuterRef("pk")).values("total")[:1])))
list(Customer.objects.annotate(l=Lower("name")).order_by(F("l").asc(nulls_last=True)))
list(Order.objects.values("status").union(Order.objects.values("status"), all=True))
list(Order.objects.values("id").difference(Order.objects.filter(total__lt=3).values("id")))
list(Order.objects.raw("SELECT * FROM shop_order WHERE customer_id = %s", [1]))
Order.objects.aggregate(Sum("total"), Count("id", distinct=True), big=Count("id", filter=Q(total__gt=4)))
Order.objects.filter(pk=orders[0].pk).exists(), Order.objects.count(), Order.objects.first(), Order.objects.last()
Order.objects.filter(total__lt=3).update(status=Case(When(total=1, then=Value("one")), default=F("status")), total=F("total") + 1)
Order.objects.bulk_update(orders[:3], ["status", "total"])
with transaction.atomic():
    locked = Order.objects.select_for_update(skip_locked=True, of=("self",)).get(pk=orders[0].pk)
    with transaction.atomic():
        locked.status = "paid"
        locked.save(update_fields=["status"])
Order.objects.in_bulk([o.pk for o in orders])
for _ in Order.objects.iterator(chunk_size=2):
    pass
Order.objects.filter(total=8).delete()
ann.delete()
