package compat;

import static compat.Client.column;
import static compat.Client.one;
import static compat.Client.run;
import static compat.Runner.same;
import static compat.Runner.that;

import java.io.ByteArrayInputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;

/** What statements can be, and what comes back from them. */
final class StatementChecks {
    private static final int BATCH = 1000;
    private static final int STREAMED = 200_000;

    private final Client client;

    StatementChecks(Client client) {
        this.client = client;
    }

    void addTo(Runner runner) {
        runner.add("prepared", this::prepared);
        runner.add("batch", this::batch);
        runner.add("keys", this::keys);
        runner.add("stream", this::stream);
        runner.add("multi", this::multi);
        runner.add("infile", this::infile);
    }

    private void prepared() throws Exception {
        try (Connection connection = client.open(client.serverPrepared())) {
            String people = Client.people(connection);
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO " + people + " VALUES (?, ?, ?)");
                    PreparedStatement byId = connection.prepareStatement("SELECT name, note FROM " + people + " WHERE id = ?");
                    PreparedStatement count = connection.prepareStatement("SELECT COUNT(*) FROM " + people + " WHERE id <= ?")) {
                that("prepared by the server", client.isServerPrepared(insert) && client.isServerPrepared(byId));
                for (int id = 1; id <= 30; id++) {
                    insert.setLong(1, id);
                    insert.setString(2, "person " + id);
                    insert.setBytes(3, id % 3 == 0 ? null : new byte[] {0, (byte) id});
                    same("affected rows", 1, insert.executeUpdate());
                    byId.setObject(1, id % 2 == 0 ? (Object) (long) id : String.valueOf(id));
                    try (ResultSet rows = byId.executeQuery()) {
                        that("a row of id " + id, rows.next());
                        same("name", "person " + id, rows.getString(1));
                        same("note", id % 3 == 0 ? null : new byte[] {0, (byte) id}, rows.getBytes(2));
                    }
                    count.setInt(1, id);
                    same("count", String.valueOf(id), first(count));
                }
            }
            changingTypes(connection);
            longData(connection, people);
            SQLException error = SessionChecks.failure(() -> connection.prepareStatement("SELEC 1").executeQuery());
            same("wrong SQL", 1064, error.getErrorCode());
            same("afterwards", "30", one(connection, "SELECT COUNT(*) FROM " + people));
        }
    }

    private static void changingTypes(Connection connection) throws SQLException {
        try (PreparedStatement echo = connection.prepareStatement("SELECT CAST(? AS CHAR(100))")) {
            Object[] values = {42, "text 😀", null, 1.5, Long.MIN_VALUE, "", null, "7"};
            for (Object value : values) {
                echo.setObject(1, value);
                same("echo", value == null ? null : value.toString(), first(echo));
            }
        }
    }

    /** A value sent in pieces ahead of the execution. */
    private static void longData(Connection connection, String people) throws SQLException {
        String sql = "SELECT LENGTH(?), HEX(SUBSTRING(?, 1, 3)), COUNT(*) FROM " + people + " WHERE id = 1";
        try (PreparedStatement sent = connection.prepareStatement(sql)) {
            byte[] piece = new byte[100_000];
            piece[0] = 7;
            sent.setBinaryStream(1, new ByteArrayInputStream(piece));
            sent.setBinaryStream(2, new ByteArrayInputStream(piece));
            try (ResultSet rows = sent.executeQuery()) {
                that("a row", rows.next());
                same("length", piece.length, rows.getInt(1));
                same("beginning", "070000", rows.getString(2));
            }
        }
    }

    private static String first(PreparedStatement statement) throws SQLException {
        try (ResultSet rows = statement.executeQuery()) {
            that("a row", rows.next());
            return rows.getString(1);
        }
    }

    private void batch() throws Exception {
        batchWith(List.of());
        for (List<String> options : client.batches()) {
            try {
                batchWith(options);
            } catch (SQLException | AssertionError e) {
                throw new AssertionError("with " + options + ": " + e, e);
            }
        }
    }

    private void batchWith(List<String> options) throws Exception {
        try (Connection connection = client.open(options)) {
            String orders = Client.orders(connection);
            try (PreparedStatement insert = connection.prepareStatement(
                    "INSERT INTO " + orders + " (id, item, quantity) VALUES (?, ?, ?)")) {
                for (int i = 0; i < BATCH; i++) {
                    insert.setLong(1, i);
                    insert.setString(2, "item '" + i + "' 😀");
                    insert.setInt(3, i % 7);
                    insert.addBatch();
                }
                counted("insert", insert.executeBatch());
            }
            same("rows", String.valueOf(BATCH), one(connection, "SELECT COUNT(*) FROM " + orders));
            same("sum", "2997", one(connection, "SELECT SUM(quantity) FROM " + orders)); // 142 × 21 and 0 + 1 + … + 5
            same("a row", "item '999' 😀", one(connection, "SELECT item FROM " + orders + " WHERE id = 999"));
            same("affected rows", BATCH, run(connection, "UPDATE " + orders + " SET quantity = quantity + 1"));
            try (Statement delete = connection.createStatement()) {
                for (int i = 0; i < 100; i++) {
                    delete.addBatch("DELETE FROM " + orders + " WHERE id = " + i * 10);
                }
                counted("delete", delete.executeBatch());
            }
            same("rows left", "900", one(connection, "SELECT COUNT(*) FROM " + orders));
        }
    }

    private static void counted(String what, int[] counts) {
        for (int count : counts) {
            that(what + " counted " + count, count == 1 || count == Statement.SUCCESS_NO_INFO);
        }
        that(what + " answered " + counts.length, counts.length >= 100);
    }

    private void keys() throws Exception {
        try (Connection connection = client.open()) {
            String table = Client.table(connection, "keys", "id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20)");
            try (Statement statement = connection.createStatement()) {
                statement.executeUpdate("INSERT INTO " + table + " (name) VALUES ('a')", Statement.RETURN_GENERATED_KEYS);
                same("key of one row", List.of(1L), generated(statement));
                same("LAST_INSERT_ID()", "1", one(connection, "SELECT LAST_INSERT_ID()"));
                statement.executeUpdate("INSERT INTO " + table + " (name) VALUES ('b'), ('c')", Statement.RETURN_GENERATED_KEYS);
                same("first key of several rows", 2L, generated(statement).get(0));
            }
            try (PreparedStatement insert = connection.prepareStatement(
                    "INSERT INTO " + table + " (name) VALUES (?)", Statement.RETURN_GENERATED_KEYS)) {
                for (String name : new String[] {"d", "e", "f"}) {
                    insert.setString(1, name);
                    insert.addBatch();
                }
                insert.executeBatch();
                same("keys of a batch", List.of(4L, 5L, 6L), generated(insert));
            }
            same("names", List.of("a", "b", "c", "d", "e", "f"), column(connection, "SELECT name FROM " + table + " ORDER BY id"));
        }
    }

    private static List<Long> generated(Statement statement) throws SQLException {
        try (ResultSet rows = statement.getGeneratedKeys()) {
            List<Long> keys = new ArrayList<>();
            while (rows.next()) {
                keys.add(rows.getLong(1));
            }
            return keys;
        }
    }

    private void stream() throws Exception {
        try (Connection connection = client.open()) {
            fill(connection, Client.people(connection));
        }
        for (Client.Streaming way : client.streaming()) {
            try (Connection connection = client.open(way.options())) {
                streamWith(connection, way.fetchSize());
            } catch (SQLException | AssertionError e) {
                throw new AssertionError("with fetch size " + way.fetchSize() + " and " + way.options() + ": " + e, e);
            }
        }
    }

    private static void fill(Connection connection, String people) throws SQLException {
        for (int from = 0; from < STREAMED; from += 10_000) {
            StringBuilder sql = new StringBuilder("INSERT INTO " + people + " (id, name) VALUES ");
            for (int id = from; id < from + 10_000; id++) {
                sql.append(id == from ? "" : ",").append('(').append(id).append(",'person ").append(id).append("')");
            }
            same("affected rows", 10_000, run(connection, sql.toString()));
        }
    }

    private static void streamWith(Connection connection, int fetchSize) throws SQLException {
        String sql = "SELECT id, name FROM " + Env.name("people") + " ORDER BY id";
        try (PreparedStatement statement = connection.prepareStatement(
                sql, ResultSet.TYPE_FORWARD_ONLY, ResultSet.CONCUR_READ_ONLY)) {
            statement.setFetchSize(fetchSize);
            try (ResultSet rows = statement.executeQuery()) {
                long id = 0;
                while (rows.next()) {
                    same("id", id, rows.getLong(1));
                    same("name", "person " + id, rows.getString(2));
                    id++;
                }
                same("rows", (long) STREAMED, id);
            }
            same("second statement", "1", one(connection, "SELECT 1"));
            try (ResultSet rows = statement.executeQuery()) { // left early
                that("a row", rows.next());
            }
            same("after leaving early", String.valueOf(STREAMED), one(connection, "SELECT COUNT(*) FROM " + Env.name("people")));
        }
    }

    private void multi() throws Exception {
        try (Connection connection = client.open(client.multi()); Statement statement = connection.createStatement()) {
            String table = Client.table(connection, "multi", "id INT PRIMARY KEY, name VARCHAR(20)");
            that("first is rows", statement.execute("SELECT 1; INSERT INTO " + table + " VALUES (1, 'a;b'), (2, 'c'); SELECT name FROM "
                    + table + " ORDER BY id; SELECT 4"));
            same("first", List.of("1"), values(statement));
            that("second is a count", !statement.getMoreResults());
            same("second", 2, statement.getUpdateCount());
            that("third is rows", statement.getMoreResults());
            same("third", List.of("a;b", "c"), values(statement));
            that("fourth is rows", statement.getMoreResults());
            same("fourth", List.of("4"), values(statement));
            that("no fifth", !statement.getMoreResults() && statement.getUpdateCount() == -1);
            SQLException error = SessionChecks.failure(
                    () -> SessionChecks.drain(statement, "SELECT 1; SELECT * FROM " + table + "_none; SELECT 3"));
            same("error in the middle", 1146, error.getErrorCode());
            same("afterwards", "1", one(connection, "SELECT 1"));
            call(connection);
        }
    }

    private static void call(Connection connection) throws SQLException {
        String procedure = Env.name("procedure");
        run(connection, "DROP PROCEDURE IF EXISTS " + procedure);
        run(connection, "CREATE PROCEDURE " + procedure + "(IN a INT, OUT b INT) BEGIN SELECT a; SELECT a + 1, 'zwei'; SET b = a * 2; END");
        try (CallableStatement call = connection.prepareCall("{call " + procedure + "(?, ?)}")) {
            call.setInt(1, 21);
            call.registerOutParameter(2, java.sql.Types.INTEGER);
            that("first is rows", call.execute());
            same("first result", List.of("21"), values(call));
            that("second is rows", call.getMoreResults());
            same("second result", List.of("22"), values(call));
            same("OUT parameter", 42, call.getInt(2));
        }
        run(connection, "DROP PROCEDURE " + procedure);
    }

    private static List<String> values(Statement statement) throws SQLException {
        try (ResultSet rows = statement.getResultSet()) {
            List<String> values = new ArrayList<>();
            while (rows.next()) {
                values.add(rows.getString(1));
            }
            return values;
        }
    }

    private void infile() throws Exception {
        StringBuilder lines = new StringBuilder();
        for (int id = 0; id < BATCH; id++) {
            lines.append(id).append("\titem ").append(id).append(" é😀\t").append(id % 7).append('\n');
        }
        Path file = Files.createTempFile("compat", ".tsv");
        try (Connection connection = client.open(client.infile())) {
            Files.writeString(file, lines);
            String orders = Client.orders(connection);
            same("affected rows", BATCH, run(connection, "LOAD DATA LOCAL INFILE '" + file + "' INTO TABLE " + orders
                    + " CHARACTER SET utf8mb4 (id, item, quantity)"));
            same("rows", String.valueOf(BATCH), one(connection, "SELECT COUNT(*) FROM " + orders));
            same("a row", "item 999 é😀", one(connection, "SELECT item FROM " + orders + " WHERE id = 999"));
            same("sum", "2997", one(connection, "SELECT SUM(quantity) FROM " + orders));
        } finally {
            Files.delete(file);
        }
    }
}
