# frozen_string_literal: true

require 'mysql2'
require_relative 'lib/checks'

# mysql2, over the C library that it was built with.
class Mysql2Client
  def self.open(user: env('USER'), password: env('PASSWORD'), database: env('DATABASE'), **options)
    place = options[:socket] ? { socket: options[:socket] } : { host: env('HOST'), port: env('PORT').to_i }
    flags = (options[:multi] ? Mysql2::Client::MULTI_STATEMENTS : 0) | (options[:compress] ? Mysql2::Client::COMPRESS : 0)
    tls = options[:ca].to_s.empty? ? {} : { sslca: options[:ca], sslverify: true }
    new(Mysql2::Client.new(
          **place, **tls, username: user, password: password, database: database, encoding: 'utf8mb4', flags: flags,
          init_command: "SET time_zone = '+00:00'", database_timezone: :utc, application_timezone: :utc,
          local_infile: options[:infile] || false, read_timeout: options[:timeout] || 60
        ))
  end

  def self.error_class = Mysql2::Error

  def self.code(error) = error.error_number

  # The driver's own error has no number.
  def self.timed_out = nil

  def self.sha2_in_clear? = true

  def initialize(client)
    @client = client
  end

  def close = @client.close

  def rows(sql) = @client.query(sql).to_a

  def run(sql)
    @client.query(sql)
    @client.affected_rows
  end

  def prepare(sql) = @client.prepare(sql)

  def last_id = @client.last_id

  def stream(sql, &block) = @client.query(sql, stream: true, cache_rows: false).each(&block)

  def results(sql)
    all = [first_column(@client.query(sql))]
    all << first_column(@client.store_result) while @client.next_result
    all
  end

  private

  def first_column(result)
    result&.map { |row| row.values[0] }
  end
end

if ARGV == ['--version']
  puts "#{Mysql2::VERSION}, #{Mysql2::Client.info[:version]}"
else
  Checks.new(Mysql2Client, { reset: 'the driver has no reset', pool: 'the driver has no pool' }).run
end
