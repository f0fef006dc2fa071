package compat;

import static compat.Client.one;
import static compat.Client.run;
import static compat.Runner.same;
import static compat.Runner.that;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/** Values there and back. */
final class ValueChecks {
    private static final int LARGE = 17_000_000;

    private final Client client;

    ValueChecks(Client client) {
        this.client = client;
    }

    void addTo(Runner runner) {
        runner.add("types_text", this::typesText);
        runner.add("types_prepared", this::typesPrepared);
        runner.add("unicode", this::unicode);
        runner.add("large", this::large);
    }

    private void typesText() throws Exception {
        try (Connection connection = client.open(); Statement statement = connection.createStatement()) {
            String table = Client.table(connection, "types_text", Types.definition());
            for (int row = 0; row < Types.rows(); row++) {
                StringBuilder sql = new StringBuilder("INSERT INTO " + table + " VALUES (" + row);
                for (Types.Column column : Types.COLUMNS) {
                    sql.append(", ").append(Types.literal(column.in(row)));
                }
                same("affected rows", 1, statement.executeUpdate(sql.append(")").toString()));
            }
            try (ResultSet rows = statement.executeQuery("SELECT * FROM " + table + " ORDER BY id")) {
                compare(rows, false);
            }
        }
    }

    private void typesPrepared() throws Exception {
        try (Connection connection = client.open(client.serverPrepared())) {
            String table = Client.table(connection, "types_prepared", Types.definition());
            String places = ", ?".repeat(Types.COLUMNS.size());
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO " + table + " VALUES (?" + places + ")")) {
                that("prepared by the server", client.isServerPrepared(insert));
                for (int row = 0; row < Types.rows(); row++) {
                    insert.setInt(1, row);
                    for (int i = 0; i < Types.COLUMNS.size(); i++) {
                        Types.Column column = Types.COLUMNS.get(i);
                        Types.bind(insert, i + 2, column, column.in(row), client.parametersAsText());
                    }
                    same("affected rows", 1, insert.executeUpdate());
                }
            }
            try (PreparedStatement select = connection.prepareStatement("SELECT * FROM " + table + " WHERE id < ? ORDER BY id")) {
                select.setInt(1, Types.rows());
                try (ResultSet rows = select.executeQuery()) {
                    compare(rows, true);
                }
            }
        }
    }

    private static void compare(ResultSet rows, boolean isBinary) throws SQLException {
        List<String> wrong = new ArrayList<>();
        for (int row = 0; row < Types.rows(); row++) {
            that("row " + row + " is missing", rows.next());
            same("id", row, rows.getInt("id"));
            for (Types.Column column : Types.COLUMNS) {
                try {
                    same(column.name() + " in row " + row, column.in(row), Types.read(rows, column, isBinary));
                } catch (SQLException | AssertionError e) {
                    wrong.add(column.name() + " " + column.type() + ": " + e.getMessage());
                }
            }
        }
        that("one row too many", !rows.next());
        that(String.join("; ", wrong), wrong.isEmpty());
    }

    private void unicode() throws Exception {
        String text = "😀 e\u0301 ﷽ 𝄞 日本語 \u202e ﬀ";
        try (Connection connection = client.open()) {
            String table = Client.table(connection, "unicode", "id INT PRIMARY KEY, `größe_日本` VARCHAR(100)");
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO " + table + " VALUES (1, ?)")) {
                insert.setString(1, text);
                insert.executeUpdate();
            }
            try (Statement statement = connection.createStatement();
                    ResultSet rows = statement.executeQuery("SELECT `größe_日本`, '😀e\u0301' AS `señal_e\u0301` FROM " + table)) {
                that("a row", rows.next());
                same("name of a column", "größe_日本", rows.getMetaData().getColumnName(1));
                same("alias", "señal_e\u0301", rows.getMetaData().getColumnLabel(2));
                same("value", text, rows.getString("größe_日本"));
                same("literal", "😀e\u0301", rows.getString(2));
            }
            same("found by value", "1", one(connection, "SELECT COUNT(*) FROM " + table + " WHERE `größe_日本` LIKE '😀%𝄞%'"));
            same("bytes", "8", one(connection, "SELECT LENGTH('😀𝄞')"));
            SQLException error = SessionChecks.failure(() -> run(connection, "SELECT `žluťoučký_日本` FROM " + table));
            same("unknown column", 1054, error.getErrorCode());
            that("message " + error.getMessage(), error.getMessage().contains("žluťoučký_日本"));
        }
    }

    private void large() throws Exception {
        byte[] value = new byte[LARGE];
        new Random(1).nextBytes(value);
        try (Connection connection = client.open()) {
            String table = Client.table(connection, "large", "id INT PRIMARY KEY, value LONGBLOB NOT NULL");
            try (PreparedStatement insert = connection.prepareStatement("INSERT INTO " + table + " VALUES (1, ?)")) {
                insert.setBytes(1, value);
                same("affected rows", 1, insert.executeUpdate());
            }
            same("length", String.valueOf(LARGE), one(connection, "SELECT LENGTH(value) FROM " + table));
            try (Statement statement = connection.createStatement();
                    ResultSet rows = statement.executeQuery("SELECT value FROM " + table)) {
                that("a row", rows.next());
                same("value", value, rows.getBytes(1));
            }
            same("afterwards", "1", one(connection, "SELECT 1"));
            run(connection, "DROP TABLE " + table);
        }
    }
}
