# frozen_string_literal: true

# Every column type with the values at its limits, as Ruby has them.

require 'bigdecimal'
require 'date'

module Types
  ROWS = 5
  ALL_BYTES = (0..255).to_a.pack('C*')
  Column = Struct.new(:name, :type, :values)

  MICROSECOND = Rational(1, 1_000_000)

  COLUMNS = [
    ['tiny', 'TINYINT', [-128, 127, 0]],
    ['tiny_u', 'TINYINT UNSIGNED', [0, 255]],
    ['small', 'SMALLINT', [-32_768, 32_767]],
    ['small_u', 'SMALLINT UNSIGNED', [0, 65_535]],
    ['medium', 'MEDIUMINT', [-8_388_608, 8_388_607]],
    ['medium_u', 'MEDIUMINT UNSIGNED', [0, 16_777_215]],
    ['plain', 'INT', [-2**31, 2**31 - 1]],
    ['plain_u', 'INT UNSIGNED', [0, 2**32 - 1]],
    ['big', 'BIGINT', [-2**63, 2**63 - 1]],
    ['big_u', 'BIGINT UNSIGNED', [0, 2**64 - 1]],
    ['exact', 'DECIMAL(65,30)', %w[
      99999999999999999999999999999999999.999999999999999999999999999999
      -12345678901234567890123456789012345.000000000000000000000000000001
      0.000000000000000000000000000001
    ].map { |text| BigDecimal(text) }],
    ['single', 'FLOAT', [1.5, -3.40282e38, 1.17549e-38]],
    ['twice', 'DOUBLE', [0.1, -1.7976931348623157e308, 2.2250738585072014e-308]],
    ['day', 'DATE', [Date.new(1000, 1, 1), Date.new(9999, 12, 31), Date.new(2024, 2, 29)]],
    ['span', 'TIME(6)', %w[-838:59:59.000000 838:59:59.000000 -30:00:00.000001 100:59:59.999999]],
    ['moment', 'DATETIME(6)', [ # at the very end of the year mysql2 takes another class, without a fraction
      Time.utc(1000, 1, 1), Time.utc(9999, 1, 1, 23, 59, 60 - MICROSECOND), Time.utc(2024, 2, 29, 12, 0, MICROSECOND)
    ]],
    ['stamp', 'TIMESTAMP(6) NULL', [Time.utc(1970, 1, 1, 0, 0, 1), Time.utc(2038, 1, 19, 3, 14, 8 - MICROSECOND)]],
    ['years', 'YEAR', [1901, 2155]],
    ['fixed', 'CHAR(5)', ['', "a'b\\c", 'żółć😀']],
    ['variable', 'VARCHAR(100)', ['', 'trailing ', "quotes ' \" ` and \\ \n \t \0 end", "e\u0301😀"]],
    ['long_text', 'TEXT', ['x' * 65_535, '', '𝄞']],
    ['fixed_bin', 'BINARY(4)', ["\0\1\2\3".b, "\xff\0'\\".b]],
    ['variable_bin', 'VARBINARY(256)', [ALL_BYTES, ''.b]],
    ['long_bin', 'BLOB', [ALL_BYTES, ''.b]],
    ['one_of', "ENUM('small','größer','x''y')", ['small', 'größer', "x'y"]],
    ['some_of', "SET('a','b','ü')", ['', 'a,b', 'a,b,ü']],
    ['bits', 'BIT(64)', [2**64 - 1, 1, 2**63]],
    ['document', 'JSON', ['{"a": [1, 2.5, "é😀", null, true]}', '[]', 'null']]
  ].map { |column| Column.new(*column) }

  module_function

  def definition
    (['id INT PRIMARY KEY'] + COLUMNS.map { |column| "#{column.name} #{column.type}" }).join(', ')
  end

  # The columns of a SELECT: a TIME that is no time of a day has no class in these drivers.
  def selected
    COLUMNS.map { |column| column.name == 'span' ? 'CAST(span AS CHAR(20)) AS span' : column.name }.join(', ')
  end

  # The values of a row; the last row is NULL throughout, shorter lists repeat.
  def row(number)
    COLUMNS.map { |column| number == ROWS - 1 ? nil : column.values[number % column.values.size] }
  end

  # The value as it stands in the text of a statement.
  def literal(value)
    case value
    when nil then 'NULL'
    when Integer, Float then value.to_s
    when BigDecimal then value.to_s('F')
    when Date then "'#{value}'"
    when Time then "'#{value.strftime('%Y-%m-%d %H:%M:%S.%6N')}'"
    else text_literal(value)
    end
  end

  def text_literal(value)
    return "X'#{value.unpack1('H*')}'" if value.encoding == Encoding::BINARY

    "'#{value.gsub(/['\\\0]/, "'" => "''", '\\' => '\\\\', "\0" => '\\0')}'"
  end

  # What a driver gave, as the kind of value that the column has.
  def normal(column, value)
    case column.type
    when 'FLOAT' then value && [value].pack('e') # in single precision
    when 'BIT(64)' then value.is_a?(String) ? value.unpack1('Q>') : value
    when /BINARY|BLOB|JSON/ then value&.b # MySQL's JSON is bytes to both drivers
    else value
    end
  end
end
