package compat;

import static compat.Client.column;
import static compat.Client.one;
import static compat.Runner.same;
import static compat.Runner.that;

import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;

/** The ways to connect. */
final class ConnectChecks {
    private final Client client;

    ConnectChecks(Client client) {
        this.client = client;
    }

    void addTo(Runner runner) {
        runner.add("connect", this::connect);
        runner.add("connect_sha2", this::connectSha2);
        runner.add("connect_tls", this::connectTls);
        runner.add("connect_socket", this::connectSocket);
        runner.add("compress", this::compress);
    }

    private void connect() throws Exception {
        Connection connection = client.open();
        answers(connection);
        that("isValid", connection.isValid(5));
        same("catalog", Env.DATABASE, connection.getCatalog());
        that("no product name", !connection.getMetaData().getDatabaseProductName().isEmpty());
        connection.close();
        that("isClosed", connection.isClosed());
    }

    private void connectSha2() throws Exception {
        if (Env.SHA2_USER.isEmpty()) {
            throw new Runner.Skip("the server has no user of caching_sha2_password");
        }
        try (Connection connection = client.openAs(Env.SHA2_USER, Env.SHA2_PASSWORD, client.clear())) {
            answers(connection);
        }
        if (!Env.CA.isEmpty()) {
            try (Connection connection = client.openAs(Env.SHA2_USER, Env.SHA2_PASSWORD, client.tls(Env.CA))) {
                answers(connection);
            }
        }
        try (Connection connection = client.openAs(Env.SHA2_USER, "wrong", client.clear())) {
            throw new AssertionError("a wrong password was taken");
        } catch (SQLException e) {
            same("error of a wrong password", 1045, e.getErrorCode());
        }
    }

    private void connectTls() throws Exception {
        if (Env.CA.isEmpty()) {
            throw new Runner.Skip("the server has no TLS");
        }
        try (Connection connection = client.open(client.tls(Env.CA))) {
            answers(connection);
        }
        // With the machine's own authorities, which have not signed it, the certificate is refused.
        List<String> others = client.tls("");
        SessionChecks.failure(() -> client.open(others));
    }

    private void connectSocket() throws Exception {
        if (Env.SOCKET.isEmpty()) {
            throw new Runner.Skip("the server has no unix socket");
        }
        try (Connection connection = client.open(client.socket())) {
            answers(connection);
        }
    }

    private void compress() throws Exception {
        try (Connection connection = client.open(client.compressed())) {
            answers(connection);
            String text = "compressible ".repeat(100_000);
            same("a long text", List.of(text), column(connection, "SELECT '" + text + "'"));
            same("Compression", List.of("ON"), status(connection, "Compression"));
        }
        try (Connection connection = client.open()) {
            same("Compression of a plain connection", List.of("OFF"), status(connection, "Compression"));
        }
    }

    private static List<String> status(Connection connection, String name) throws SQLException {
        try (var statement = connection.createStatement(); var rows = statement.executeQuery("SHOW STATUS LIKE '" + name + "'")) {
            return rows.next() ? List.of(rows.getString(2)) : List.of();
        }
    }

    private static void answers(Connection connection) throws SQLException {
        same("SELECT 1", "1", one(connection, "SELECT 1"));
    }
}
