package compat;

import static compat.Client.column;
import static compat.Client.one;
import static compat.Client.run;
import static compat.Runner.same;
import static compat.Runner.that;

import com.mysql.cj.jdbc.exceptions.MySQLStatementCancelledException;
import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.SQLIntegrityConstraintViolationException;
import java.sql.SQLInvalidAuthorizationSpecException;
import java.sql.SQLSyntaxErrorException;
import java.sql.SQLTimeoutException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/** Transactions, errors, and what becomes of a session. */
final class SessionChecks {
    private static final int THREADS = 20;
    private static final int STATEMENTS = 50;

    private final Client client;

    SessionChecks(Client client) {
        this.client = client;
    }

    void addTo(Runner runner) {
        runner.add("transactions", this::transactions);
        runner.add("errors", this::errors);
        runner.add("reset", this::reset);
        runner.add("pool", this::pool);
        runner.add("kill", this::kill);
    }

    /** The error that an action ends with. */
    static SQLException failure(Callable<?> action) throws Exception {
        try {
            action.call();
        } catch (SQLException e) {
            return e;
        }
        throw new AssertionError("no error");
    }

    /** Go through all results of several statements. */
    static Void drain(Statement statement, String sql) throws SQLException {
        boolean isRows = statement.execute(sql);
        while (isRows || statement.getUpdateCount() != -1) {
            isRows = statement.getMoreResults();
        }
        return null;
    }

    /** Always two rows; where the table is sharded, the ids 1 and 5 are on different shards. */
    private void transactions() throws Exception {
        try (Connection connection = client.open(); Connection other = client.open()) {
            String orders = Client.orders(connection);
            String quantity = "SELECT quantity FROM " + orders + " ORDER BY id";
            String insert = "INSERT INTO " + orders + " VALUES (1, 'a', 1), (5, 'b', 1)";
            connection.setAutoCommit(false);
            run(connection, insert);
            connection.rollback();
            same("after rollback", List.of(), column(connection, quantity));
            run(connection, insert);
            same("seen by others before commit", List.of(), column(other, quantity));
            connection.commit();
            same("after commit", List.of("1", "1"), column(other, quantity));

            run(connection, "UPDATE " + orders + " SET quantity = 2");
            Savepoint savepoint = connection.setSavepoint("before_three");
            run(connection, "UPDATE " + orders + " SET quantity = 3");
            connection.rollback(savepoint);
            same("after rollback to savepoint", List.of("2", "2"), column(connection, quantity));
            connection.releaseSavepoint(connection.setSavepoint());
            connection.setAutoCommit(true); // commits
            same("after autocommit on", List.of("2", "2"), column(other, quantity));
            run(connection, "UPDATE " + orders + " SET quantity = 4");
            same("in autocommit", List.of("4", "4"), column(other, quantity));
            isolation(connection, other, orders);
        }
    }

    private static void isolation(Connection connection, Connection other, String orders) throws Exception {
        String quantity = "SELECT quantity FROM " + orders + " WHERE id = 1";
        same("usual isolation", Connection.TRANSACTION_REPEATABLE_READ, connection.getTransactionIsolation());
        for (int level : new int[] {Connection.TRANSACTION_READ_COMMITTED, Connection.TRANSACTION_REPEATABLE_READ}) {
            connection.setTransactionIsolation(level);
            same("isolation", level, connection.getTransactionIsolation());
            connection.setAutoCommit(false);
            run(other, "UPDATE " + orders + " SET quantity = 10 WHERE id = 1");
            same("first read", "10", one(connection, quantity));
            run(other, "UPDATE " + orders + " SET quantity = 11 WHERE id = 1");
            String expected = level == Connection.TRANSACTION_READ_COMMITTED ? "11" : "10";
            same("second read at level " + level, expected, one(connection, quantity));
            connection.rollback();
            connection.setAutoCommit(true);
        }
        connection.setReadOnly(true);
        that("write in a read-only connection",
                failure(() -> run(connection, "UPDATE " + orders + " SET quantity = 12 WHERE id = 1")) != null);
        connection.setReadOnly(false);
        same("write afterwards", 1, run(connection, "UPDATE " + orders + " SET quantity = 13 WHERE id = 1"));
    }

    private void errors() throws Exception {
        try (Connection connection = client.open()) {
            String people = Client.people(connection);
            run(connection, "INSERT INTO " + people + " (id, name) VALUES (1, 'a')");
            fails(connection, 1062, SQLIntegrityConstraintViolationException.class,
                    "INSERT INTO " + people + " (id, name) VALUES (1, 'b')");
            fails(connection, 1146, SQLSyntaxErrorException.class, "SELECT * FROM " + Env.name("none"));
            fails(connection, 1064, SQLSyntaxErrorException.class, "SELEC 1");
            fails(connection, 1054, SQLSyntaxErrorException.class, "SELECT nothing FROM " + people);
            same("rows", "1", one(connection, "SELECT COUNT(*) FROM " + people));
        }
        SQLException denied = failure(() -> client.openAs(Env.USER, "wrong", client.clear()));
        same("wrong password", 1045, denied.getErrorCode());
        same("its SQLSTATE", "28000", denied.getSQLState());
        String nowhere = client.urlWith(client.url + "_none", List.of());
        SQLException unknown = failure(() -> java.sql.DriverManager.getConnection(nowhere, Env.USER, Env.PASSWORD));
        same("unknown schema", 1049, unknown.getErrorCode());
        same("its SQLSTATE", "42000", unknown.getSQLState());
    }

    private static void fails(Connection connection, int code, Class<? extends SQLException> type, String sql) throws Exception {
        SQLException error = failure(() -> run(connection, sql));
        same("error of " + sql + " (" + error.getMessage() + ")", code, error.getErrorCode());
        that(error.getClass() + " for " + code, type.isInstance(error));
        same("afterwards", "1", one(connection, "SELECT 1"));
    }

    private void reset() throws Exception {
        try (Connection connection = client.openResettable(); Connection other = client.open()) {
            String people = Client.people(connection);
            run(connection, "SET @kept = 'user variable'");
            run(connection, "SET SESSION sql_mode = 'NO_ZERO_DATE'");
            run(connection, "CREATE TEMPORARY TABLE " + Env.name("scratch") + " (id INT)");
            connection.setAutoCommit(false);
            run(connection, "INSERT INTO " + people + " (id, name) VALUES (1, 'open')");
            client.reset(connection);
            same("open transaction", "0", one(other, "SELECT COUNT(*) FROM " + people));
            same("user variable", null, one(connection, "SELECT @kept"));
            that("sql_mode", !one(connection, "SELECT @@SESSION.sql_mode").equals("NO_ZERO_DATE"));
            same("temporary table", 1146, failure(() -> one(connection, "SELECT COUNT(*) FROM " + Env.name("scratch"))).getErrorCode());
            same("schema", Env.DATABASE, one(connection, "SELECT DATABASE()"));
            same("no lock left", 1, run(other, "INSERT INTO " + people + " (id, name) VALUES (1, 'other')"));
        }
    }

    private void pool() throws Exception {
        System.setProperty("com.zaxxer.hikari.aliveBypassWindowMs", "0"); // look at every connection that is lent
        HikariConfig config = new HikariConfig();
        config.setJdbcUrl(client.urlWith(client.url, List.of()));
        config.setUsername(Env.USER);
        config.setPassword(Env.PASSWORD);
        config.setMaximumPoolSize(8);
        try (Connection connection = client.open()) {
            Client.people(connection);
        }
        try (HikariDataSource pool = new HikariDataSource(config)) {
            ExecutorService threads = Executors.newFixedThreadPool(THREADS);
            List<Future<Integer>> done = new ArrayList<>();
            for (int i = 0; i < THREADS; i++) {
                int thread = i;
                done.add(threads.submit(() -> work(pool, thread)));
            }
            int sum = 0;
            for (Future<Integer> future : done) {
                sum += future.get(50, TimeUnit.SECONDS);
            }
            threads.shutdown();
            same("statements", THREADS * STATEMENTS, sum);
            try (Connection connection = pool.getConnection()) {
                same("rows", "500", one(connection, "SELECT COUNT(*) FROM " + Env.name("people")));
            }
            replaced(pool);
        }
    }

    private static int work(HikariDataSource pool, int thread) throws SQLException {
        int done = 0;
        for (int i = 0; i < STATEMENTS / 2; i++) {
            long id = thread * 1000L + i;
            try (Connection connection = pool.getConnection()) {
                try (PreparedStatement insert = connection.prepareStatement(
                        "INSERT INTO " + Env.name("people") + " (id, name) VALUES (?, ?)")) {
                    insert.setLong(1, id);
                    insert.setString(2, "person " + id);
                    done += insert.executeUpdate();
                }
                same("name", "person " + id, one(connection, "SELECT name FROM " + Env.name("people") + " WHERE id = " + id));
                done++;
            }
        }
        return done;
    }

    private void replaced(HikariDataSource pool) throws Exception {
        List<Connection> all = new ArrayList<>();
        for (int i = 0; i < pool.getMaximumPoolSize(); i++) {
            all.add(pool.getConnection());
        }
        String killed = one(all.get(0), "SELECT CONNECTION_ID()");
        for (Connection connection : all) {
            connection.close();
        }
        try (Connection other = client.open()) {
            run(other, "KILL " + killed);
        }
        for (int i = 0; i < 2 * pool.getMaximumPoolSize(); i++) {
            try (Connection connection = pool.getConnection()) {
                that("the killed connection again", !one(connection, "SELECT CONNECTION_ID()").equals(killed));
            }
        }
    }

    private void kill() throws Exception {
        try (Connection connection = client.open(); Connection other = client.open()) {
            String id = one(connection, "SELECT CONNECTION_ID()");
            ended("by KILL QUERY", connection, null, () -> run(other, "KILL QUERY " + id));
            try (Statement statement = connection.createStatement()) {
                ended("by cancel()", connection, statement, () -> {
                    statement.cancel();
                    return null;
                });
            }
            try (Statement statement = connection.createStatement()) {
                statement.setQueryTimeout(1);
                long begin = System.nanoTime();
                interrupted("by the time-out", statement);
                soon("by the time-out", begin);
            }
            same("afterwards", "1", one(connection, "SELECT 1"));
        }
    }

    /** Run SELECT SLEEP(30), and `end` it from another thread. */
    private static void ended(String what, Connection connection, Statement given, Callable<?> end) throws Exception {
        long begin = System.nanoTime();
        ExecutorService thread = Executors.newSingleThreadExecutor();
        Future<?> ending = thread.submit(() -> {
            Thread.sleep(500); // the statement has to be under way, and nothing tells when it is
            return end.call();
        });
        try (Statement statement = connection.createStatement()) {
            interrupted(what, given == null ? statement : given);
        }
        ending.get(10, TimeUnit.SECONDS);
        thread.shutdown();
        soon(what, begin);
        same("afterwards", "2", one(connection, "SELECT 2"));
    }

    /** MySQL answers 1 for an interrupted sleep, MariaDB an error; for what they ended themselves, drivers have their own. */
    private static void interrupted(String what, Statement statement) throws SQLException {
        try (ResultSet rows = statement.executeQuery("SELECT SLEEP(30)")) {
            that("a row", rows.next());
            same(what, 1, rows.getInt(1));
        } catch (SQLTimeoutException | MySQLStatementCancelledException e) {
            return;
        } catch (SQLException e) {
            same(what + ": " + e, 1317, e.getErrorCode());
        }
    }

    private static void soon(String what, long begin) {
        long seconds = TimeUnit.NANOSECONDS.toSeconds(System.nanoTime() - begin);
        that(what + " only after " + seconds + " s", seconds < 10);
    }
}
