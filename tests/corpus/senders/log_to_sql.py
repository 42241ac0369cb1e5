"""A server's JSON log (log_statement=all) → the queries and writes in it, one of each shape.

    log_to_sql.py LOG DATABASE "how it was recorded" > file.sql
"""

import json
import re
import sys

log, database, how = sys.argv[1:4]
COUNTED = {"select", "insert", "update", "delete", "with", "values", "table", "merge"}


def first_word(sql):
    sql = re.sub(r"^(\s|\(|--[^\n]*\n|/\*.*?\*/)+", "", sql, flags=re.S)
    return (re.match(r"[a-z]+", sql, re.I) or [""])[0].lower()


def shape(sql):
    sql = re.sub(r"'(?:[^']|'')*'", "?", sql)
    sql = re.sub(r"\b\d+(\.\d+)?\b", "?", sql)
    return re.sub(r"\s+", " ", re.sub(r"\?(\s*,\s*\?)+", "?", sql))


print(f"-- {how}\n-- By tests/corpus/senders/record.sh; one statement of each shape, parameters as the server got them.")
seen = set()
for line in open(log, encoding="utf-8"):
    entry = json.loads(line)
    if entry.get("dbname") != database:
        continue
    found = re.match(r"(?:statement|execute [^:]*): (.*)", entry.get("message", ""), re.S)
    sql = found.group(1).strip().rstrip(";").strip() if found else ""
    if first_word(sql) not in COUNTED or shape(sql) in seen:
        continue
    seen.add(shape(sql))
    # psql takes a line that begins with a backslash for a command of its own, and so does the test.
    print(f"\n{sql};")
