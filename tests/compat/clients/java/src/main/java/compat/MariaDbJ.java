package compat;

import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.LocalDate;
import java.util.List;
import java.util.Set;
import org.mariadb.jdbc.ServerPreparedStatement;

/** MariaDB Connector/J. */
final class MariaDbJ extends Client {
    public static void main(String[] arguments) {
        Program.run(new MariaDbJ(), org.mariadb.jdbc.Driver.class, arguments);
    }

    @Override
    String scheme() {
        return "jdbc:mariadb";
    }

    @Override
    List<String> usual() {
        return List.of("sessionVariables=time_zone='+00:00'", "connectTimeout=10000");
    }

    @Override
    List<String> clear() {
        return List.of("sslMode=disable", "allowPublicKeyRetrieval=true");
    }

    @Override
    List<String> tls(String ca) {
        // By default the driver also takes a certificate that the server proves to be its own by the user's password, as MariaDB 11
        // does. With authorities named, it has to be signed by one of them.
        String authorities = ca.isEmpty() ? "trustStore=" + System.getProperty("java.home") + "/lib/security/cacerts" : "serverSslCert=" + ca;
        return List.of("sslMode=verify-ca", authorities);
    }

    @Override
    List<String> socket() {
        return List.of("localSocket=" + Env.SOCKET, "allowPublicKeyRetrieval=true");
    }

    @Override
    List<String> serverPrepared() {
        return List.of("useServerPrepStmts=true");
    }

    @Override
    List<List<String>> batches() {
        // By default the driver sends the statements of a batch without waiting for their answers.
        return List.of(
                List.of("disablePipeline=true"),
                List.of("useServerPrepStmts=true"),
                List.of("useBulkStmts=true"));
    }

    @Override
    List<String> multi() {
        return List.of("allowMultiQueries=true");
    }

    @Override
    List<String> infile() {
        return List.of("allowLocalInfile=true");
    }

    @Override
    List<String> compressed() {
        return List.of("useCompression=true");
    }

    @Override
    List<Streaming> streaming() {
        return List.of(new Streaming(1000, List.of()), new Streaming(1000, List.of("useServerPrepStmts=true")));
    }

    @Override
    boolean isServerPrepared(Statement statement) {
        return statement instanceof ServerPreparedStatement;
    }

    @Override
    Set<Class<?>> parametersAsText() {
        // MySQL refuses a day with a time, and the form of negative spans.
        return Set.of(Duration.class, LocalDate.class);
    }

    @Override
    Connection openResettable() throws SQLException {
        Connection connection = open("useResetConnection=true");
        if (!connection.getMetaData().getDatabaseProductName().equals("MariaDB")) {
            throw new Runner.Skip("the driver resets connections to MariaDB only");
        }
        return connection;
    }

    @Override
    void reset(Connection connection) throws SQLException {
        connection.unwrap(org.mariadb.jdbc.Connection.class).reset();
    }
}
