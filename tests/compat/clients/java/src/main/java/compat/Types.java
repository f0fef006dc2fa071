package compat;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.format.DateTimeFormatter;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;

/** Every column type with the values at its limits, as the Java types that applications use for it. */
final class Types {
    /** A column, the class of its values, and the values themselves. */
    record Column(String name, String type, Class<?> as, List<?> values) {
        /** The value in a row; the last row is NULL throughout, shorter lists repeat. */
        Object in(int row) {
            return row == ROWS - 1 ? null : values.get(row % values.size());
        }
    }

    static final List<Column> COLUMNS = List.of(
            of("tiny", "TINYINT", Integer.class, -128, 127, 0),
            of("tiny_u", "TINYINT UNSIGNED", Integer.class, 0, 255),
            of("small", "SMALLINT", Integer.class, -32768, 32767),
            of("small_u", "SMALLINT UNSIGNED", Integer.class, 0, 65535),
            of("medium", "MEDIUMINT", Integer.class, -8388608, 8388607),
            of("medium_u", "MEDIUMINT UNSIGNED", Integer.class, 0, 16777215),
            of("plain", "INT", Integer.class, Integer.MIN_VALUE, Integer.MAX_VALUE),
            of("plain_u", "INT UNSIGNED", Long.class, 0L, 4294967295L),
            of("big", "BIGINT", Long.class, Long.MIN_VALUE, Long.MAX_VALUE),
            of("big_u", "BIGINT UNSIGNED", BigInteger.class, BigInteger.ZERO, new BigInteger("18446744073709551615")),
            of("exact", "DECIMAL(65,30)", BigDecimal.class,
                    new BigDecimal("99999999999999999999999999999999999.999999999999999999999999999999"),
                    new BigDecimal("-12345678901234567890123456789012345.000000000000000000000000000001"),
                    new BigDecimal("0.000000000000000000000000000000")),
            of("single", "FLOAT", Float.class, 1.5f, -3.40282e38f, 1.17549e-38f),
            of("twice", "DOUBLE", Double.class, 0.1, -1.7976931348623157e308, 2.2250738585072014e-308),
            of("day", "DATE", LocalDate.class, LocalDate.of(1000, 1, 1), LocalDate.of(9999, 12, 31), LocalDate.of(2024, 2, 29)),
            of("span", "TIME(6)", Duration.class,
                    Duration.ofHours(-838).minusMinutes(59).minusSeconds(58).minusNanos(999_999_000),
                    Duration.ofHours(838).plusMinutes(59).plusSeconds(58).plusNanos(999_999_000),
                    Duration.ofHours(30).plusNanos(1_000),
                    Duration.ofNanos(-1_000)),
            of("moment", "DATETIME(6)", LocalDateTime.class,
                    LocalDateTime.of(1000, 1, 1, 0, 0, 0),
                    LocalDateTime.of(9999, 12, 31, 23, 59, 59, 999_999_000),
                    LocalDateTime.of(2024, 2, 29, 12, 0, 0, 1_000)),
            of("stamp", "TIMESTAMP(6) NULL", LocalDateTime.class,
                    LocalDateTime.of(1970, 1, 1, 0, 0, 1),
                    LocalDateTime.of(2038, 1, 19, 3, 14, 7, 999_999_000)),
            of("years", "YEAR", Integer.class, 1901, 2155),
            of("fixed", "CHAR(5)", String.class, "", "a'b\\c", "żółć😀"),
            of("variable", "VARCHAR(100)", String.class, "", "trailing ", "quotes ' \" ` and \\ \n \t \0 end", "e\u0301😀"),
            of("long_text", "TEXT", String.class, "x".repeat(65535), "", "𝄞"),
            of("fixed_bin", "BINARY(4)", byte[].class, new byte[] {0, 1, 2, 3}, new byte[] {-1, 0, 39, 92}),
            of("variable_bin", "VARBINARY(256)", byte[].class, allBytes(), new byte[0]),
            of("long_bin", "BLOB", byte[].class, allBytes(), new byte[0]),
            of("one_of", "ENUM('small','größer','x''y')", String.class, "small", "größer", "x'y"),
            of("some_of", "SET('a','b','ü')", String.class, "", "a,b", "a,b,ü"),
            of("bits", "BIT(64)", byte[].class, new byte[] {-1, -1, -1, -1, -1, -1, -1, -1}, new byte[] {0, 0, 0, 0, 0, 0, 0, 1}),
            of("document", "JSON", String.class, "{\"a\": [1, 2.5, \"é😀\", null, true]}", "[]", "null"));

    private static final int ROWS = 5;

    private Types() {}

    private static Column of(String name, String type, Class<?> as, Object... values) {
        return new Column(name, type, as, Arrays.asList(values));
    }

    private static byte[] allBytes() {
        byte[] bytes = new byte[256];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) i;
        }
        return bytes;
    }

    static int rows() {
        return ROWS;
    }

    static String definition() {
        StringBuilder sql = new StringBuilder("id INT PRIMARY KEY");
        COLUMNS.forEach(column -> sql.append(", ").append(column.name).append(' ').append(column.type));
        return sql.toString();
    }

    /** The value as it stands in the text of a statement. */
    static String literal(Object value) {
        if (value == null) {
            return "NULL";
        }
        if (value instanceof Number) {
            return value instanceof BigDecimal decimal ? decimal.toPlainString() : value.toString();
        }
        if (value instanceof byte[] bytes) {
            return "X'" + HexFormat.of().formatHex(bytes) + "'";
        }
        if (value instanceof Duration span) {
            Duration size = span.abs();
            String text = String.format("%02d:%02d:%02d.%06d", size.toHours(), size.toMinutesPart(), size.toSecondsPart(),
                    size.toNanosPart() / 1000);
            return "'" + (span.isNegative() ? "-" : "") + text + "'";
        }
        if (value instanceof LocalDateTime moment) {
            return "'" + DateTimeFormatter.ofPattern("uuuu-MM-dd HH:mm:ss.SSSSSS").format(moment) + "'";
        }
        return "'" + value.toString().replace("\\", "\\\\").replace("'", "''").replace("\0", "\\0") + "'";
    }

    /** Set a parameter; values of the classes in `asText` go as text, which the server takes for the same. */
    static void bind(PreparedStatement statement, int index, Column column, Object value, Set<Class<?>> asText)
            throws SQLException {
        if (value == null) {
            statement.setNull(index, java.sql.Types.NULL);
        } else if (asText.contains(column.as)) {
            String literal = literal(value);
            statement.setString(index, literal.substring(1, literal.length() - 1));
        } else if (value instanceof BigInteger number) {
            statement.setBigDecimal(index, new BigDecimal(number)); // as itself it is sent as a signed integer
        } else if (value instanceof byte[] bytes) {
            if (column.type.startsWith("BIT")) { // to MySQL a number, and bytes a text of it
                statement.setBigDecimal(index, new BigDecimal(new BigInteger(1, bytes)));
            } else {
                statement.setBytes(index, bytes);
            }
        } else {
            statement.setObject(index, value);
        }
    }

    /** The value of a column as its own class, and whether it is that in a result of the binary protocol. */
    static Object read(ResultSet rows, Column column, boolean isBinary) throws SQLException {
        Object value;
        if (column.as == byte[].class) {
            value = rows.getBytes(column.name);
        } else if (column.as == Duration.class && isBinary) {
            value = duration(rows.getString(column.name)); // as Duration, a driver loses the sign of the fraction
        } else {
            value = rows.getObject(column.name, column.as);
        }
        // Two ways to learn about NULL, which should agree.
        Runner.same(column.name + " is NULL", value == null, rows.wasNull());
        return value;
    }

    private static Duration duration(String text) {
        if (text == null) {
            return null;
        }
        String[] parts = text.replace("-", "").split(":");
        Duration size = Duration.ofHours(Long.parseLong(parts[0])).plusMinutes(Long.parseLong(parts[1]))
                .plusNanos(new BigDecimal(parts[2]).movePointRight(9).longValueExact());
        return text.startsWith("-") ? size.negated() : size;
    }
}
