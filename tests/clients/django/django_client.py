"""Django's ORM against Margay: migrations, rows, relations, aggregates, transactions, introspection."""

import io
import os
import sys
import tempfile
from decimal import Decimal
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings

url = urlsplit(os.environ["MARGAY_POSTGRES_URL"])
migrations = tempfile.TemporaryDirectory()
sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), migrations.name]
os.makedirs(f"{migrations.name}/shop_migrations")
open(f"{migrations.name}/shop_migrations/__init__.py", "w").close()
settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": url.path[1:],
            "USER": url.username,
            "PASSWORD": unquote(url.password),
            "HOST": url.hostname,
            "PORT": url.port,
        }
    },
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "shop_app"],
    MIGRATION_MODULES={"shop_app": "shop_migrations"},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
)
django.setup()

from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import Avg, Count, F, Max, Sum
from shop_app.models import Customer, Kind, Note, Order

passed = 0


def check(what, got, expected):
    global passed
    assert got == expected, f"Django: {what}: {got!r}, not {expected!r}"
    passed += 1


def run(*command):
    out = io.StringIO()
    call_command(*command, stdout=out, stderr=out)
    return out.getvalue()


def main():
    run("makemigrations", "shop_app")
    run("migrate")
    check("nothing is left to migrate", "No changes detected" in run("makemigrations", "--check", "--dry-run"), True)
    check("all migrations are applied", "[ ]" in run("showmigrations"), False)

    Kind.objects.bulk_create([Kind(id=1, name="book"), Kind(id=2, name="tool")])
    Customer.objects.bulk_create([Customer(id=i, name=f"c{i % 5}", data={"n": i, "even": i % 2 == 0}) for i in range(40)])
    Order.objects.bulk_create(
        [Order(id=n, customer_id=i, kind_id=1 + n % 2, total=Decimal(i) + Decimal("0.25")) for i in range(40) for n in (1, 2)]
    )
    check("a row by its key", Customer.objects.get(pk=7).name, "c2")
    check("a row by its composite key", Order.objects.get(pk=(7, 1)).total, Decimal("7.25"))
    check("a count over nodes", Order.objects.count(), 80)
    check("sorted and cut", list(Customer.objects.order_by("-id").values_list("id", flat=True)[3:6]), [36, 35, 34])
    check("a filter", Customer.objects.filter(name="c2").count(), 8)
    check("within JSON", Customer.objects.filter(data__even=True).count(), 20)
    check("exists", Customer.objects.filter(pk=99).exists(), False)
    check("in a list", Customer.objects.filter(pk__in=[1, 2, 3, 77]).count(), 3)
    sums = Order.objects.aggregate(n=Count("id"), sum=Sum("total"), most=Max("total"), mean=Avg("total"))
    check("aggregates over nodes", (sums["n"], sums["sum"], sums["most"], sums["mean"]), (80, 1580, Decimal("39.25"), Decimal("19.75")))
    by_kind = Order.objects.values("kind_id").annotate(n=Count("id"), sum=Sum("total")).order_by("kind_id")
    check("groups over nodes", [(row["kind_id"], row["n"], row["sum"]) for row in by_kind], [(1, 40, 790), (2, 40, 790)])
    check("a join by the key", Order.objects.filter(customer__name="c3", kind__name="book").count(), 8)
    check("the relation of one", [o.id for o in Customer.objects.get(pk=5).orders.order_by("id")], [1, 2])
    check("select_related", Order.objects.select_related("customer", "kind").get(pk=(6, 2)).kind.name, "book")
    fetched = Customer.objects.prefetch_related("orders").filter(pk__lt=4).order_by("pk")
    check("prefetch_related", [len(c.orders.all()) for c in fetched], [2, 2, 2, 2])
    with transaction.atomic():
        # Outside of a transaction Django would declare its cursor WITH HOLD (DISABLE_SERVER_SIDE_CURSORS).
        check("in portions", sum(1 for _ in Customer.objects.iterator(chunk_size=7)), 40)

    customer = Customer.objects.get(pk=3)
    customer.name = "other"
    customer.save()
    check("saved", Customer.objects.filter(name="other").count(), 1)
    check("update", Order.objects.filter(kind_id=2).update(total=F("total") + 1), 40)
    check("update or create", Customer.objects.update_or_create(pk=100, defaults={"name": "late"})[1], True)
    check("get or create", Customer.objects.get_or_create(pk=100, defaults={"name": "x"})[1], False)
    try:
        with transaction.atomic():
            Customer.objects.create(pk=200, name="gone")
            Customer.objects.create(pk=201, name="gone")
            raise KeyError
    except KeyError:
        check("rolled back on all nodes", Customer.objects.filter(name="gone").count(), 0)
    with transaction.atomic():
        Customer.objects.create(pk=300, name="kept")
        try:
            with transaction.atomic():
                Customer.objects.create(pk=300, name="twice")
        except IntegrityError:
            pass
        Customer.objects.create(pk=301, name="kept")
    check("a savepoint rolled back", Customer.objects.filter(name="kept").count(), 2)
    try:
        with transaction.atomic():
            Order.objects.create(id=9, customer_id=1, kind_id=77, total=1)
        raise AssertionError("a foreign key")
    except IntegrityError:
        pass
    upserted = Customer.objects.bulk_create(
        [Customer(id=300, name="again"), Customer(id=302, name="again")],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["name"],
    )
    check("upserts", (len(upserted), Customer.objects.filter(name="again").count()), (2, 2))
    with transaction.atomic():
        locked = Customer.objects.select_for_update().get(pk=300)
        check("a locked row", locked.name, "again")
    check("deleted, with its orders", Customer.objects.get(pk=10).delete()[0], 3)
    check("orders left", Order.objects.count(), 78)

    note = Note.objects.create(text="é")
    check("a made key", Note.objects.get(pk=note.pk).text, "é")
    user = User.objects.create_user("ann", password="x")
    user.groups.add(Group.objects.create(name="staff"))
    check("many to many", User.objects.get(groups__name="staff").check_password("x"), True)

    with connection.cursor() as cursor:
        names = set(connection.introspection.table_names(cursor))
        check("tables, and no shards", {n for n in names if n.startswith(("customer", "orders"))}, {"customer", "orders"})
        constraints = connection.introspection.get_constraints(cursor, "orders")
        kinds = sorted((c["primary_key"], c["check"], bool(c["foreign_key"])) for c in constraints.values())
        expected = (True, False, False) in kinds and (False, True, False) in kinds and kinds.count((False, False, True)) == 2
        check(f"constraints: {kinds}", expected, True)
    models = run("inspectdb", "customer", "orders", "kind")
    for line in ["class Customer(models.Model)", "customer = models.ForeignKey(Customer", "name = models.CharField(unique=True, max_length=20)"]:
        check(f"inspectdb: {line}\n{models}", line in models, True)
    connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"] = True
    check("the rows as JSON", run("dumpdata", "shop_app.Order").count('"model"'), 78)
    print(f"Django {django.get_version()}: {passed} checks")


main()
