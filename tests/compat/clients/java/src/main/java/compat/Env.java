package compat;

/** What the environment says about the server, as tests/compat/README.md lists it; empty where a variable is not set. */
final class Env {
    static final String HOST = get("COMPAT_HOST");
    static final String PORT = get("COMPAT_PORT");
    static final String USER = get("COMPAT_USER");
    static final String PASSWORD = get("COMPAT_PASSWORD");
    static final String DATABASE = get("COMPAT_DATABASE");
    static final String SHA2_USER = get("COMPAT_SHA2_USER");
    static final String SHA2_PASSWORD = get("COMPAT_SHA2_PASSWORD");
    static final String CA = get("COMPAT_CA");
    static final String SOCKET = get("COMPAT_SOCKET");

    private Env() {}

    /** The full name of one of this program's tables or procedures. */
    static String name(String suffix) {
        return get("COMPAT_PREFIX") + "_" + suffix;
    }

    private static String get(String variable) {
        String value = System.getenv(variable);
        return value == null ? "" : value;
    }
}
