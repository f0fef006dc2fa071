package compat;

import com.mysql.cj.jdbc.JdbcConnection;
import com.mysql.cj.jdbc.ServerPreparedStatement;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.LocalDateTime;
import java.util.List;
import java.util.Set;

/** MySQL Connector/J. */
final class ConnectorJ extends Client {
    public static void main(String[] arguments) {
        Program.run(new ConnectorJ(), com.mysql.cj.jdbc.Driver.class, arguments);
    }

    @Override
    String scheme() {
        return "jdbc:mysql";
    }

    @Override
    List<String> usual() {
        return List.of("connectionTimeZone=UTC", "forceConnectionTimeZoneToSession=true", "connectTimeout=10000");
    }

    @Override
    List<String> clear() {
        return List.of("sslMode=DISABLED", "allowPublicKeyRetrieval=true");
    }

    @Override
    List<String> tls(String ca) throws Exception {
        if (ca.isEmpty()) {
            return List.of("sslMode=VERIFY_CA");
        }
        // The driver reads key stores, not PEM.
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        try (var file = Files.newInputStream(Path.of(ca))) {
            for (Certificate certificate : CertificateFactory.getInstance("X.509").generateCertificates(file)) {
                store.setCertificateEntry("ca" + store.size(), certificate);
            }
        }
        Path path = Files.createTempFile("compat", ".p12");
        path.toFile().deleteOnExit();
        try (OutputStream file = Files.newOutputStream(path)) {
            store.store(file, "compat".toCharArray());
        }
        return List.of("sslMode=VERIFY_CA", "fallbackToSystemTrustStore=false", "trustCertificateKeyStoreUrl=" + path.toUri(),
                "trustCertificateKeyStoreType=PKCS12", "trustCertificateKeyStorePassword=compat");
    }

    @Override
    List<String> socket() {
        return List.of("socketFactory=org.newsclub.net.mysql.AFUNIXDatabaseSocketFactoryCJ", "junixsocket.file=" + Env.SOCKET,
                "sslMode=DISABLED", "allowPublicKeyRetrieval=true");
    }

    @Override
    List<String> serverPrepared() {
        return List.of("useServerPrepStmts=true", "emulateUnsupportedPstmts=false");
    }

    @Override
    List<List<String>> batches() {
        return List.of(
                List.of("rewriteBatchedStatements=true"),
                List.of("rewriteBatchedStatements=true", "useServerPrepStmts=true", "emulateUnsupportedPstmts=false"));
    }

    @Override
    List<String> multi() {
        return List.of("allowMultiQueries=true");
    }

    @Override
    List<String> infile() {
        return List.of("allowLoadLocalInfile=true");
    }

    @Override
    List<String> compressed() {
        return List.of("useCompression=true", "sslMode=DISABLED", "allowPublicKeyRetrieval=true");
    }

    @Override
    List<Streaming> streaming() {
        return List.of(
                new Streaming(Integer.MIN_VALUE, List.of()),
                new Streaming(1000, List.of("useCursorFetch=true", "emulateUnsupportedPstmts=false")));
    }

    @Override
    boolean isServerPrepared(Statement statement) throws SQLException {
        return statement.isWrapperFor(ServerPreparedStatement.class);
    }

    @Override
    Set<Class<?>> parametersAsText() {
        // Hours over 23 are not put into days, and the fraction is cut off for MariaDB.
        return Set.of(Duration.class, LocalDateTime.class);
    }

    @Override
    Connection openResettable() throws SQLException {
        return open();
    }

    @Override
    void reset(Connection connection) throws SQLException {
        connection.unwrap(JdbcConnection.class).resetServerState();
    }
}
