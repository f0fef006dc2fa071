package compat;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** Runs checks one after the other and prints a line for each. */
final class Runner {
    /** One check: it ends quietly, or says by an exception what is wrong. */
    interface Check {
        void run() throws Exception;
    }

    /** What a driver cannot do. */
    static final class Skip extends RuntimeException {
        Skip(String reason) {
            super(reason);
        }
    }

    private static final long LIMIT_S = 60;

    private final Map<String, Check> checks = new LinkedHashMap<>();

    void add(String name, Check check) {
        checks.put(name, check);
    }

    void run() {
        checks.forEach((name, check) -> System.out.println(name + "\t" + outcome(check)));
        System.exit(0); // a check that hangs has left its thread behind
    }

    private static String outcome(Check check) {
        CompletableFuture<Void> done = new CompletableFuture<>();
        Thread thread = new Thread(() -> {
            try {
                check.run();
                done.complete(null);
            } catch (Throwable e) { // assertion errors too
                done.completeExceptionally(e);
            }
        });
        thread.setDaemon(true);
        thread.start();
        try {
            done.get(LIMIT_S, TimeUnit.SECONDS);
            return "ok\t";
        } catch (TimeoutException e) {
            StackTraceElement[] stack = thread.getStackTrace();
            return "fail\tstill waiting after " + LIMIT_S + " s" + where(stack);
        } catch (ExecutionException e) {
            Throwable cause = e.getCause();
            if (cause instanceof Skip) {
                return "skip\t" + cause.getMessage();
            }
            return "fail\t" + oneLine(cause) + where(cause.getStackTrace());
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    private static String oneLine(Throwable error) {
        String text = String.valueOf(error);
        if (error.getCause() != null && error.getCause().getMessage() != null && !text.contains(error.getCause().getMessage())) {
            text += " (" + error.getCause() + ")";
        }
        return text.replaceAll("\\s+", " ").strip();
    }

    private static String where(StackTraceElement[] stack) {
        for (StackTraceElement frame : stack) {
            boolean isHelper = frame.getClassName().equals(Runner.class.getName());
            if (frame.getClassName().startsWith("compat.") && !isHelper) {
                return " [" + frame.getFileName() + ":" + frame.getLineNumber() + "]";
            }
        }
        return "";
    }

    static void same(String what, Object expected, Object actual) {
        if (!Objects.deepEquals(expected, actual)) {
            throw new AssertionError(what + ": " + show(actual) + " instead of " + show(expected));
        }
    }

    static void that(String what, boolean holds) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    private static String show(Object value) {
        if (value instanceof byte[] bytes) {
            return bytes.length + " bytes";
        }
        String text = String.valueOf(value);
        return text.length() > 200 ? text.substring(0, 200) + "…" : text;
    }
}
