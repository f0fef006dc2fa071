package compat;

import com.zaxxer.hikari.HikariDataSource;
import java.sql.Driver;
import java.util.TimeZone;

/** What both programs are: the checks of tests/compat/README.md, in its order, for one driver. */
final class Program {
    private Program() {}

    static void run(Client client, String driver, String[] arguments) {
        if (arguments.length > 0 && arguments[0].equals("--version")) {
            System.out.println(version(driver) + ", HikariCP " + HikariDataSource.class.getPackage().getImplementationVersion());
            return;
        }
        TimeZone.setDefault(TimeZone.getTimeZone("UTC"));
        Runner runner = new Runner();
        new ConnectChecks(client).addTo(runner);
        new ValueChecks(client).addTo(runner);
        new StatementChecks(client).addTo(runner);
        new SessionChecks(client).addTo(runner);
        for (String name : new String[] {"orm_schema", "orm_use"}) {
            runner.add(name, () -> {
                throw new Runner.Skip("a driver, not an ORM");
            });
        }
        runner.run();
    }

    private static String version(String driver) {
        try {
            Driver instance = (Driver) Class.forName(driver).getDeclaredConstructor().newInstance();
            String version = instance.getClass().getPackage().getImplementationVersion();
            return version != null ? version : instance.getMajorVersion() + "." + instance.getMinorVersion();
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e);
        }
    }
}
