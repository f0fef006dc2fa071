package compat;

import com.zaxxer.hikari.HikariDataSource;
import java.sql.Driver;
import java.util.TimeZone;

/** What both programs are: the checks of tests/compat/README.md, in its order, for one driver. */
final class Program {
    private Program() {}

    static void run(Client client, Class<? extends Driver> driver, String[] arguments) {
        if (arguments.length > 0 && arguments[0].equals("--version")) {
            System.out.println(version(driver) + ", HikariCP " + version(HikariDataSource.class));
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

    /** What stands in the name of the class's jar: not every manifest has it. */
    private static String version(Class<?> type) {
        String jar = type.getProtectionDomain().getCodeSource().getLocation().getPath();
        return jar.replaceAll(".*?-([0-9][^/]*)\\.jar$", "$1");
    }
}
