// pgjdbc by TLS: sslmode=verify-full, and channel binding where the driver has it.
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.util.Properties;

public class Tls {
    static int ask(String... pairs) throws Exception {
        Properties properties = new Properties();
        properties.put("user", "shop");
        properties.put("password", "secret");
        for (int i = 0; i < pairs.length; i += 2) {
            properties.put(pairs[i], pairs[i + 1]);
        }
        String url = "jdbc:postgresql://localhost:" + System.getenv("TLS_PORT") + "/shop";
        try (Connection connection = DriverManager.getConnection(url, properties);
                ResultSet rows = connection.createStatement().executeQuery("SELECT 42")) {
            rows.next();
            return rows.getInt(1);
        }
    }

    public static void main(String[] arguments) throws Exception {
        String ca = System.getenv("TLS_CA");
        String[][] ways = {
            {"sslmode", "disable"},
            {"sslmode", "require"},
            {"sslmode", "verify-full", "sslrootcert", ca},
            {"sslmode", "verify-full", "sslrootcert", ca, "channelBinding", "require"},
            {"sslmode", "verify-full", "sslrootcert", ca, "sslNegotiation", "direct"},
        };
        for (String[] way : ways) {
            if (ask(way) != 42) {
                throw new AssertionError(String.join(" ", way));
            }
        }
        System.out.println("pgjdbc " + org.postgresql.util.DriverInfo.DRIVER_VERSION
            + ": disable, require, verify-full, channelBinding=require, sslNegotiation=direct");
    }
}
