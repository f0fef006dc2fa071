# frozen_string_literal: true

# The checks that differ between the drivers by nothing but the calls they make.
#
# A client's class has `open(**options)` (user, password, database, ca, socket, compress, infile, timeout), `code(error)`
# and `error_class`; a client has `rows(sql)` (hashes), `run(sql)` (affected rows), `last_id`, `transaction` (with a block),
# `results(sql)` and `stream(sql)` (with a block).

require 'securerandom'
require 'tempfile'
require_relative 'runner'
require_relative 'types'

class Checks
  BATCH = 1000
  STREAMED = 200_000
  LARGE = 17_000_000
  PEOPLE = 'id BIGINT PRIMARY KEY, name VARCHAR(200) NOT NULL, note VARBINARY(200) NULL'
  ORDERS = 'id BIGINT PRIMARY KEY, item VARCHAR(200) NOT NULL, quantity INT NOT NULL'
  TEXT = "😀 e\u0301 ﷽ 𝄞 日本語 \u202e ﬀ"
  NAMES = %i[connect connect_sha2 connect_tls connect_socket types_text types_prepared unicode prepared transactions batch
             keys stream large errors reset pool kill multi infile compress orm_schema orm_use].freeze

  # `skipped`: check and reason, for what the driver cannot do.
  def initialize(client, skipped)
    @client = client
    orm = 'a driver, not an ORM'
    @skipped = { orm_schema: orm, orm_use: orm }.merge(skipped)
  end

  def run
    run_checks(NAMES.to_h { |name| [name, -> { @skipped[name] ? raise(Skip, @skipped[name]) : send(name) }] })
  end

  def open(...)
    @client.open(...)
  end

  def one(client, sql)
    rows = client.rows(sql)
    same("rows of #{sql}", 1, rows.size)
    rows[0].values[0]
  end

  def column(client, sql)
    client.rows(sql).map { |row| row.values[0] }
  end

  # An empty table of that suffix; its full name.
  def table(client, suffix, columns)
    table = name(suffix)
    client.run("DROP TABLE IF EXISTS #{table}")
    client.run("CREATE TABLE #{table} (#{columns})")
    table
  end

  def fails(what, expected)
    yield
  rescue @client.error_class => e
    same("#{what} (#{e.message})", expected, @client.code(e))
  else
    raise "#{what}: no error"
  end

  def connect
    connection = open
    same('SELECT 1', 1, one(connection, 'SELECT 1'))
    same('schema', env('DATABASE'), one(connection, 'SELECT DATABASE()'))
    same('character set', 'utf8mb4', one(connection, 'SELECT @@character_set_client'))
    connection.close
  end

  def connect_sha2
    user = env_or_skip('SHA2_USER', 'the server has no user of caching_sha2_password')
    login = { user: user, password: env('SHA2_PASSWORD') }
    raise Skip, 'the server has no TLS' if env('CA').empty? && !@client.sha2_in_clear?

    # The driver that cannot do the one in clear finds the password known to the server after the other.
    same('over TLS', 1, one(open(**login, ca: env('CA')), 'SELECT 1')) unless env('CA').empty?
    same('in clear', 1, one(open(**login), 'SELECT 1')) if @client.sha2_in_clear?
    fails('wrong password', 1045) { open(**login, password: 'wrong', ca: env('CA')) }
  end

  def connect_tls
    ca = env_or_skip('CA', 'the server has no TLS')
    same('SELECT 1', 1, one(open(ca: ca), 'SELECT 1'))
    other = '/etc/ssl/certs/ca-certificates.crt' # the machine's own authorities, who have not signed it
    begin
      open(ca: File.file?(other) ? other : __FILE__)
    rescue @client.error_class
      return
    end
    raise 'the certificate was not verified'
  end

  def connect_socket
    socket = env_or_skip('SOCKET', 'the server has no unix socket')
    same('SELECT 1', 1, one(open(socket: socket), 'SELECT 1'))
  end

  def types_text
    connection = open
    table = table(connection, 'types_text', Types.definition)
    Types::ROWS.times do |row|
      literals = Types.row(row).map { |value| Types.literal(value) }
      same('affected rows', 1, connection.run("INSERT INTO #{table} VALUES (#{row}, #{literals.join(', ')})"))
    end
    compare(connection.rows("SELECT #{Types.selected} FROM #{table} ORDER BY id"))
  end

  def types_prepared
    connection = open
    table = table(connection, 'types_prepared', Types.definition)
    insert = connection.prepare("INSERT INTO #{table} VALUES (?#{', ?' * Types::COLUMNS.size})")
    Types::ROWS.times do |row|
      insert.execute(row, *Types.row(row))
      same('affected rows', 1, insert.affected_rows)
    end
    select = connection.prepare("SELECT #{Types.selected} FROM #{table} WHERE id < ? ORDER BY id")
    compare(select.execute(Types::ROWS).to_a)
  end

  def compare(rows)
    same('rows', Types::ROWS, rows.size)
    faults = rows.each_with_index.flat_map do |row, number|
      Types::COLUMNS.zip(Types.row(number)).filter_map do |column, expected|
        value = row[column.name]
        next if Types.normal(column, value) == Types.normal(column, expected)

        "#{column.name} in row #{number}: #{show(value)} instead of #{show(expected)}"
      end
    end
    holds(faults.join('; '), faults.empty?)
  end

  def unicode
    connection = open
    table = table(connection, 'unicode', 'id INT PRIMARY KEY, `größe_日本` VARCHAR(100)')
    connection.run("INSERT INTO #{table} VALUES (1, '#{TEXT}')")
    rows = connection.rows("SELECT `größe_日本`, '😀e\u0301' AS `señal_e\u0301` FROM #{table}")
    same('row', [{ 'größe_日本' => TEXT, "señal_e\u0301" => "😀e\u0301" }], rows)
    same('found by value', 1, one(connection, "SELECT COUNT(*) FROM #{table} WHERE `größe_日本` LIKE '😀%𝄞%'"))
    same('bytes', 8, one(connection, "SELECT LENGTH('😀𝄞')"))
    fails('unknown column', 1054) { connection.rows("SELECT `žluťoučký_日本` FROM #{table}") }
    begin
      connection.rows("SELECT `žluťoučký_日本` FROM #{table}")
    rescue @client.error_class => e
      holds("message #{e.message}", e.message.dup.force_encoding('UTF-8').include?('žluťoučký_日本'))
    end
  end

  def prepared
    connection = open
    people = table(connection, 'people', PEOPLE)
    insert = connection.prepare("INSERT INTO #{people} VALUES (?, ?, ?)")
    by_id = connection.prepare("SELECT name, note FROM #{people} WHERE id = ?")
    count = connection.prepare("SELECT COUNT(*) FROM #{people} WHERE id <= ?")
    (1..30).each do |id|
      note = (id % 3).zero? ? nil : [0, id].pack('CC')
      insert.execute(id, "person #{id}", note)
      same('affected rows', 1, insert.affected_rows)
      row = by_id.execute(id.even? ? id : id.to_s).to_a
      same('row', [{ 'name' => "person #{id}", 'note' => note }], row)
      same('count', id, count.execute(id).first.values[0])
    end
    [insert, by_id, count].each(&:close)
    echo = connection.prepare('SELECT CAST(? AS CHAR(100)) AS v')
    [42, 'text 😀', nil, 1.5, -2**63, '', nil, '7'].each do |value|
      same('echo', value&.to_s, echo.execute(value).first['v'])
    end
    fails('wrong SQL', 1064) { connection.prepare('SELEC ?') }
    same('afterwards', 30, one(connection, "SELECT COUNT(*) FROM #{people}"))
  end

  # In every transaction two rows; where the table is sharded, the ids 1 and 5 are on different shards.
  def transactions
    connection = open
    other = open
    orders = table(connection, 'orders', ORDERS)
    quantity = "SELECT quantity FROM #{orders} ORDER BY id"
    insert = "INSERT INTO #{orders} VALUES (1, 'a', 1), (5, 'b', 1)"
    connection.run('BEGIN')
    connection.run(insert)
    connection.run('ROLLBACK')
    same('after rollback', [], column(connection, quantity))
    connection.run('BEGIN')
    connection.run(insert)
    same('seen by others before commit', [], column(other, quantity))
    connection.run('SAVEPOINT before_three')
    connection.run("UPDATE #{orders} SET quantity = 3")
    connection.run('ROLLBACK TO SAVEPOINT before_three')
    same('after rollback to savepoint', [1, 1], column(connection, quantity))
    connection.run('COMMIT')
    same('after commit', [1, 1], column(other, quantity))
    connection.run('SET autocommit = 0')
    connection.run("UPDATE #{orders} SET quantity = 4")
    same('autocommit off', [1, 1], column(other, quantity))
    connection.run('SET autocommit = 1')
    same('autocommit on', [4, 4], column(other, quantity))
    isolation(connection, other, orders)
  end

  def isolation(connection, other, orders)
    quantity = "SELECT quantity FROM #{orders} WHERE id = 1"
    { 'READ COMMITTED' => 11, 'REPEATABLE READ' => 10 }.each do |level, second|
      other.run("UPDATE #{orders} SET quantity = 10 WHERE id = 1")
      connection.run("SET SESSION TRANSACTION ISOLATION LEVEL #{level}")
      connection.run('START TRANSACTION')
      same('first read', 10, one(connection, quantity))
      other.run("UPDATE #{orders} SET quantity = 11 WHERE id = 1")
      same("second read at #{level}", second, one(connection, quantity))
      connection.run('COMMIT')
    end
    connection.run('START TRANSACTION READ ONLY')
    fails('read-only', 1792) { connection.run("UPDATE #{orders} SET quantity = 12 WHERE id = 1") }
    connection.run('ROLLBACK')
    same('unchanged', 11, one(connection, quantity))
  end

  def batch
    connection = open
    orders = table(connection, 'orders', ORDERS)
    rows = (0...BATCH).map { |id| "(#{id}, 'item #{id} 😀', #{id % 7})" }
    same('affected rows', BATCH, connection.run("INSERT INTO #{orders} VALUES #{rows.join(', ')}"))
    counted(connection, orders, 'item 999 😀')
    same('affected rows of an update', BATCH, connection.run("UPDATE #{orders} SET quantity = quantity + 1"))
    same('affected rows of a delete', BATCH, connection.run("DELETE FROM #{orders}"))
  end

  def counted(connection, orders, last)
    same('rows', BATCH, one(connection, "SELECT COUNT(*) FROM #{orders}"))
    same('sum', 2997, one(connection, "SELECT SUM(quantity) FROM #{orders}"))
    same('a row', last, one(connection, "SELECT item FROM #{orders} WHERE id = 999"))
  end

  def keys
    connection = open
    table = table(connection, 'keys', 'id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20)')
    connection.run("INSERT INTO #{table} (name) VALUES ('a')")
    same('key of one row', 1, connection.last_id)
    same('LAST_INSERT_ID()', 1, one(connection, 'SELECT LAST_INSERT_ID()'))
    connection.run("INSERT INTO #{table} (name) VALUES ('b'), ('c')")
    same('first key of several rows', 2, connection.last_id)
    same('names', %w[a b c], column(connection, "SELECT name FROM #{table} ORDER BY id"))
  end

  def stream
    connection = open
    people = table(connection, 'people', PEOPLE)
    (0...STREAMED).each_slice(10_000) do |ids|
      rows = ids.map { |id| "(#{id},'person #{id}')" }.join(',')
      same('affected rows', 10_000, connection.run("INSERT INTO #{people} (id, name) VALUES #{rows}"))
    end
    id = 0
    connection.stream("SELECT id, name FROM #{people} ORDER BY id") do |row|
      same('row', { 'id' => id, 'name' => "person #{id}" }, row)
      id += 1
    end
    same('rows', STREAMED, id)
    same('second statement', 1, one(connection, 'SELECT 1'))
  end

  def large
    connection = open
    table = table(connection, 'large', 'id INT PRIMARY KEY, value LONGBLOB NOT NULL')
    value = SecureRandom.bytes(LARGE)
    same('affected rows', 1, connection.run("INSERT INTO #{table} VALUES (1, X'#{value.unpack1('H*')}')"))
    holds('the value', one(connection, "SELECT value FROM #{table} WHERE id = 1").b == value)
    connection.run("DROP TABLE #{table}")
  end

  def errors
    connection = open
    people = table(connection, 'people', PEOPLE)
    insert = "INSERT INTO #{people} (id, name) VALUES (1, 'a')"
    connection.run(insert)
    none = "SELECT * FROM #{name('none')}"
    { 1062 => insert, 1146 => none, 1064 => 'SELEC 1', 1054 => "SELECT nothing FROM #{people}" }.each do |code, sql|
      fails(sql, code) { connection.run(sql) }
      same('afterwards', 1, one(connection, 'SELECT 1'))
    end
    fails('wrong password', 1045) { open(password: 'wrong', ca: env('CA')) }
    fails('unknown schema', 1049) { open(database: "#{env('DATABASE')}_none") }
  end

  def kill
    connection = open
    id = one(connection, 'SELECT CONNECTION_ID()')
    ending = Thread.new do
      sleep 0.5 # the statement has to be under way, and nothing tells when it is
      open.run("KILL QUERY #{id}")
    end
    soon('KILL QUERY') do
      same('answer', 1, one(connection, 'SELECT SLEEP(30)')) # MySQL's answer; MariaDB gives an error
    rescue @client.error_class => e
      same("error #{e.message}", 1317, @client.code(e))
    end
    ending.join
    same('afterwards', 2, one(connection, 'SELECT 2'))
    impatient = open(timeout: 1)
    soon('time-out') { fails('time-out', @client.timed_out) { impatient.rows('SELECT SLEEP(30)') } }
  end

  def soon(what)
    begin_s = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    yield
    seconds = Process.clock_gettime(Process::CLOCK_MONOTONIC) - begin_s
    holds("#{what} only after #{seconds} s", seconds < 10)
  end

  def multi
    connection = open(multi: true)
    table = table(connection, 'multi', 'id INT PRIMARY KEY, name VARCHAR(20)')
    insert = "INSERT INTO #{table} VALUES (1, 'a;b'), (2, 'c')"
    results = connection.results("SELECT 1; #{insert}; SELECT name FROM #{table} ORDER BY id; SELECT 4")
    same('results', [[1], nil, ['a;b', 'c'], [4]], results)
    fails('error in the middle', 1146) { connection.results("SELECT 1; SELECT * FROM #{table}_none; SELECT 3") }
    same('afterwards', 1, one(connection, 'SELECT 1'))
    procedure = name('procedure')
    connection.run("DROP PROCEDURE IF EXISTS #{procedure}")
    body = "BEGIN SELECT a; SELECT a + 1, 'zwei'; SET b = a * 2; END"
    connection.run("CREATE PROCEDURE #{procedure}(IN a INT, OUT b INT) #{body}")
    same('results of CALL', [[21], [22]], connection.results("CALL #{procedure}(21, @b)").first(2))
    same('OUT parameter', 42, one(connection, 'SELECT @b'))
    connection.run("DROP PROCEDURE #{procedure}")
  end

  def infile
    Tempfile.create('compat') do |file|
      file.write((0...BATCH).map { |id| "#{id}\titem #{id} é😀\t#{id % 7}\n" }.join)
      file.flush
      connection = open(infile: true)
      orders = table(connection, 'orders', ORDERS)
      sql = "LOAD DATA LOCAL INFILE '#{file.path}' INTO TABLE #{orders} CHARACTER SET utf8mb4 (id, item, quantity)"
      same('affected rows', BATCH, connection.run(sql))
      counted(connection, orders, 'item 999 é😀')
    end
  end

  def compress
    connection = open(compress: true)
    text = 'compressible ' * 100_000
    holds('a long text', one(connection, "SELECT '#{text}'") == text)
    status = "SHOW STATUS LIKE 'Compression'"
    same('Compression', 'ON', connection.rows(status).first&.fetch('Value'))
    same('Compression of a plain connection', 'OFF', open.rows(status).first&.fetch('Value'))
  end
end
