package compat;

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** A JDBC driver: how to connect with it, and where it has its own names for things. */
abstract class Client {
    final String url = scheme() + "://" + Env.HOST + ":" + Env.PORT + "/" + Env.DATABASE;

    abstract String scheme();

    /** Options, as `name=value`, that every connection has. */
    abstract List<String> usual();

    abstract List<String> clear();

    /** TLS with the certificate verified by this file, or by the machine's own authorities if it is empty. */
    abstract List<String> tls(String ca) throws Exception;

    abstract List<String> socket();

    abstract List<String> serverPrepared();

    /** Options for batches beside the usual, each list a way of its own. */
    abstract List<List<String>> batches();

    abstract List<String> multi();

    abstract List<String> infile();

    abstract List<String> compressed();

    /** Options and the fetch size of each way to stream. */
    abstract List<Streaming> streaming();

    record Streaming(int fetchSize, List<String> options) {}

    abstract boolean isServerPrepared(Statement statement) throws SQLException;

    /** Classes that the driver sends wrong in the binary form, to one of the servers at least. */
    abstract Set<Class<?>> parametersAsText();

    /** A connection that `reset` works on. */
    abstract Connection openResettable() throws SQLException;

    abstract void reset(Connection connection) throws SQLException;

    Connection open(String... options) throws SQLException {
        return open(List.of(options));
    }

    Connection open(List<String> options) throws SQLException {
        return openAs(Env.USER, Env.PASSWORD, options);
    }

    Connection openAs(String user, String password, List<String> options) throws SQLException {
        return DriverManager.getConnection(urlWith(url, options), user, password);
    }

    String urlWith(String base, List<String> options) {
        List<String> all = new ArrayList<>(usual());
        all.addAll(options);
        return base + "?" + String.join("&", all);
    }

    /** The first column of all rows, as text. */
    static List<String> column(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            List<String> values = new ArrayList<>();
            while (rows.next()) {
                values.add(rows.getString(1));
            }
            return values;
        }
    }

    static String one(Connection connection, String sql) throws SQLException {
        List<String> values = column(connection, sql);
        Runner.same("rows of " + sql, 1, values.size());
        return values.get(0);
    }

    /** Run any statement; its affected rows, or -1 if it gave rows. */
    static int run(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
            return statement.getUpdateCount();
        }
    }

    /** An empty table of that suffix; its full name. */
    static String table(Connection connection, String suffix, String columns) throws SQLException {
        String name = Env.name(suffix);
        run(connection, "DROP TABLE IF EXISTS " + name);
        run(connection, "CREATE TABLE " + name + " (" + columns + ")");
        return name;
    }

    static String people(Connection connection) throws SQLException {
        return table(connection, "people", "id BIGINT PRIMARY KEY, name VARCHAR(200) NOT NULL, note VARBINARY(200) NULL");
    }

    static String orders(Connection connection) throws SQLException {
        return table(connection, "orders", "id BIGINT PRIMARY KEY, item VARCHAR(200) NOT NULL, quantity INT NOT NULL");
    }
}
