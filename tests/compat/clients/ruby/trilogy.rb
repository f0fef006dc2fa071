# frozen_string_literal: true

$LOAD_PATH.delete_if { |path| File.expand_path(path) == __dir__ } # or this file would be the driver
require 'trilogy'
require_relative 'lib/checks'

# trilogy, which speaks the protocol itself.
class TrilogyClient
  def self.open(user: env('USER'), password: env('PASSWORD'), database: env('DATABASE'), **options)
    place = options[:socket] ? { socket: options[:socket] } : { host: env('HOST'), port: env('PORT').to_i }
    tls = options[:ca].to_s.empty? ? {} : { ssl: true, ssl_mode: Trilogy::SSL_VERIFY_CA, ssl_ca: options[:ca] }
    client = Trilogy.new(
      **place, **tls, username: user, password: password, database: database, max_allowed_packet: 64 << 20,
      multi_statement: options[:multi] || false, read_timeout: options[:timeout] || 60
    )
    client.query("SET time_zone = '+00:00'")
    new(client)
  end

  def self.error_class = Trilogy::Error

  def self.code(error) = error.respond_to?(:error_code) ? error.error_code : nil

  # The driver's own error has the number of the system's.
  def self.timed_out = nil

  def self.sha2_in_clear? = false

  def initialize(client)
    @client = client
  end

  def close = @client.close

  def rows(sql) = @client.query(sql).each_hash.to_a

  def run(sql)
    @client.query(sql)
    @client.affected_rows
  end

  def last_id = @client.last_insert_id

  def results(sql)
    all = [first_column(@client.query(sql))]
    all << first_column(@client.next_result) while @client.more_results_exist?
    all
  end

  private

  def first_column(result)
    result.fields.empty? ? nil : result.rows.map(&:first)
  end
end

if ARGV == ['--version']
  puts Trilogy::VERSION
else
  prepared = 'the driver has no prepared statements'
  Checks.new(TrilogyClient, {
               types_prepared: prepared, prepared: prepared, stream: 'the driver holds all rows of a result',
               reset: 'the driver has no reset', pool: 'the driver has no pool',
               infile: 'the driver refuses LOAD DATA LOCAL', compress: 'the driver does not compress'
             }).run
end
