// pgjdbc against Margay: both of its protocols, batches, fetch sizes, generated keys, meta data.

import java.math.BigDecimal;
import java.sql.*;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;

public class Jdbc {
    static int passed = 0;

    static void check(String what, boolean condition) {
        if (!condition) {
            System.err.println("pgjdbc: " + what);
            System.exit(1);
        }
        passed++;
    }

    static Connection open(String... options) throws SQLException {
        // postgres://user:password@host:port/database
        java.net.URI url = java.net.URI.create(System.getenv("MARGAY_POSTGRES_URL"));
        String[] login = url.getUserInfo().split(":", 2);
        Properties properties = new Properties();
        properties.setProperty("user", login[0]);
        properties.setProperty("password", login[1]);
        for (int i = 0; i < options.length; i += 2) {
            properties.setProperty(options[i], options[i + 1]);
        }
        return DriverManager.getConnection("jdbc:postgresql://" + url.getHost() + ":" + url.getPort() + url.getPath(), properties);
    }

    static long count(Connection c, String where) throws SQLException {
        try (Statement s = c.createStatement(); ResultSet r = s.executeQuery("SELECT count(*) FROM items WHERE " + where)) {
            r.next();
            return r.getLong(1);
        }
    }

    /** Batches, each row by its key, updates, all under one way to send queries. */
    static void rows(int from, String... options) throws SQLException {
        try (Connection c = open(options)) {
            try (PreparedStatement s = c.prepareStatement("INSERT INTO items (id, owner, label, price) VALUES (?, ?, ?, ?)")) {
                for (int i = 0; i < 100; i++) {
                    s.setLong(1, from + i);
                    s.setInt(2, from + i);
                    s.setString(3, "row " + i);
                    s.setBigDecimal(4, new BigDecimal(i));
                    s.addBatch();
                }
                int sum = 0;
                for (int n : s.executeBatch()) {
                    // With rewritten batches the driver knows only that it worked.
                    sum += n == Statement.SUCCESS_NO_INFO ? 1 : n;
                }
                check("a batch of inserts", sum == 100);
            }
            check("all of them are there", count(c, "owner BETWEEN " + from + " AND " + (from + 99)) == 100);
            try (PreparedStatement s = c.prepareStatement("SELECT label, price FROM items WHERE owner = ?")) {
                for (int i = 0; i < 30; i++) {
                    s.setInt(1, from + i);
                    try (ResultSet r = s.executeQuery()) {
                        check("a row by its key", r.next() && r.getString(1).equals("row " + i) && r.getInt("price") == i && !r.next());
                    }
                }
            }
            try (PreparedStatement s = c.prepareStatement("SELECT sum(price), count(*) FROM items WHERE owner >= ? AND owner < ?")) {
                for (int i = 0; i < 10; i++) {
                    s.setInt(1, from);
                    s.setInt(2, from + 100);
                    try (ResultSet r = s.executeQuery()) {
                        check("a sum over nodes", r.next() && r.getBigDecimal(1).intValue() == 4950 && r.getLong(2) == 100);
                    }
                }
            }
            c.setAutoCommit(false);
            try (PreparedStatement s = c.prepareStatement("UPDATE items SET label = ? WHERE owner = ?")) {
                for (int i = 0; i < 20; i++) {
                    s.setString(1, "new");
                    s.setInt(2, from + i);
                    s.addBatch();
                }
                for (int n : s.executeBatch()) {
                    check("a batch of updates", n == 1);
                }
            }
            check("own writes", count(c, "label = 'new' AND owner BETWEEN " + from + " AND " + (from + 99)) == 20);
            c.rollback();
            check("rolled back on all nodes", count(c, "label = 'new' AND owner BETWEEN " + from + " AND " + (from + 99)) == 0);
            try (Statement s = c.createStatement()) {
                s.executeUpdate("UPDATE items SET label = 'kept' WHERE owner >= " + from);
                Savepoint point = c.setSavepoint();
                try {
                    s.executeQuery("SELECT 1/0");
                    check("an error", false);
                } catch (SQLException e) {
                    check("its SQLSTATE", e.getSQLState().equals("22012"));
                }
                c.rollback(point);
            }
            c.commit();
            check("committed", count(c, "label = 'kept' AND owner BETWEEN " + from + " AND " + (from + 99)) == 100);
            c.commit();
        }
    }

    public static void main(String[] args) throws Exception {
        rows(2000, "preferQueryMode", "simple");
        rows(3000);
        rows(4000, "prepareThreshold", "1", "binaryTransfer", "true");
        rows(5000, "reWriteBatchedInserts", "true", "prepareThreshold", "-1");
        try (Connection c = open()) {
            DatabaseMetaData about = c.getMetaData();
            check("the server's name", about.getDatabaseProductName().equals("PostgreSQL"));
            List<String> columns = new ArrayList<>();
            try (ResultSet r = about.getColumns(null, "public", "items", null)) {
                while (r.next()) {
                    columns.add(r.getString("COLUMN_NAME") + " " + r.getString("TYPE_NAME"));
                }
            }
            check("meta data of a table: " + columns, columns.get(0).equals("id int8") && columns.size() == 7);
            try (Statement s = c.createStatement(); ResultSet r = s.executeQuery("SELECT id, label AS name, price FROM items WHERE owner = 3001")) {
                ResultSetMetaData meta = r.getMetaData();
                check("labels of columns", meta.getColumnCount() == 3 && meta.getColumnLabel(2).equals("name"));
                check("types of columns", meta.getColumnType(1) == Types.BIGINT && meta.getPrecision(3) == 10);
                // These ask the catalog for the table of a column.
                check("names of columns", meta.getColumnName(2).equals("name") || meta.getColumnName(2).equals("label"));
            }
            try (PreparedStatement s = c.prepareStatement("INSERT INTO items (owner, label) VALUES (?, ?)", Statement.RETURN_GENERATED_KEYS)) {
                s.setInt(1, 6000);
                s.setString(2, "generated");
                check("an insert", s.executeUpdate() == 1);
                try (ResultSet keys = s.getGeneratedKeys()) {
                    check("a generated key", keys.next() && keys.getLong("id") != 0);
                }
            }
            try (PreparedStatement s = c.prepareStatement("INSERT INTO items (owner, label) VALUES (?, ?)", new String[] {"id"})) {
                for (int i = 0; i < 10; i++) {
                    s.setInt(1, 6001 + i);
                    s.setString(2, "generated");
                    s.addBatch();
                }
                s.executeBatch();
                int n = 0;
                try (ResultSet keys = s.getGeneratedKeys()) {
                    while (keys.next()) {
                        n++;
                    }
                }
                check("generated keys of a batch", n == 10);
            }
            c.setAutoCommit(false);
            try (Statement s = c.createStatement()) {
                s.executeUpdate("INSERT INTO notes (id, body) SELECT g, 'x' FROM generate_series(1000, 1099) g");
                s.setFetchSize(7);
                int n = 0;
                try (ResultSet r = s.executeQuery("SELECT id FROM notes WHERE id >= 1000 ORDER BY id")) {
                    while (r.next()) {
                        check("rows in parts", r.getInt(1) == 1000 + n++);
                    }
                }
                check("all rows in parts", n == 100);
                n = 0;
                s.setFetchSize(10);
                try (ResultSet r = s.executeQuery("SELECT id FROM items WHERE owner = 3001")) {
                    while (r.next()) {
                        n++;
                    }
                }
                check("rows of one shard in parts", n == 1);
            }
            c.commit();
            c.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
            check("repeatable read", count(c, "owner = 3001") == 1);
            c.commit();
            c.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
            c.setReadOnly(true);
            check("read only", count(c, "owner = 3001") == 1);
            try (Statement s = c.createStatement()) {
                s.executeUpdate("DELETE FROM items WHERE owner = 3001");
                check("a write when read only", false);
            } catch (SQLException e) {
                check("refused when read only", e.getSQLState().equals("25006"));
            }
            c.rollback();
            c.setReadOnly(false);
            c.setAutoCommit(true);
            try (Statement s = c.createStatement()) {
                s.setQueryTimeout(1);
                s.executeQuery("SELECT pg_sleep(30)");
                check("a time-out", false);
            } catch (SQLException e) {
                check("cancelled", e.getSQLState().equals("57014"));
            }
            check("alive after a cancel", c.isValid(5) && count(c, "owner = 3001") == 1);
        }
        System.out.println("pgjdbc " + org.postgresql.util.DriverInfo.DRIVER_VERSION + ": " + passed + " checks");
    }
}
