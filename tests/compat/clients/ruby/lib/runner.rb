# frozen_string_literal: true

# What the Ruby programs share: the environment, the comparisons, and the runner of checks.

require 'timeout'

class Skip < StandardError
end

# A variable of tests/compat/README.md; empty where it is not set.
def env(name)
  ENV.fetch("COMPAT_#{name}", '')
end

# The full name of one of the program's tables or procedures.
def name(suffix)
  "#{env('PREFIX')}_#{suffix}"
end

def env_or_skip(name, reason)
  env(name).empty? ? raise(Skip, reason) : env(name)
end

def same(what, expected, actual)
  raise "#{what}: #{show(actual)} instead of #{show(expected)}" unless expected == actual
end

def holds(what, is_so)
  raise what unless is_so
end

def show(value)
  text = value.inspect.scrub
  text.length > 200 ? "#{text[0, 200]}…" : text
end

# Run the checks, a hash of blocks, in turn and print the line of each.
def run_checks(checks)
  $stdout.sync = true
  checks.each { |name, check| puts "#{name}\t#{outcome(check)}" }
  exit!(0) # a check that hangs has left its thread behind
end

def outcome(check)
  Timeout.timeout(60) { check.call }
  "ok\t"
rescue Skip => e
  "skip\t#{e.message}"
rescue Exception => e # rubocop:disable Lint/RescueException -- a check must not end the others
  place = e.backtrace.to_a.grep(%r{(lib/checks|mysql2|trilogy)\.rb:\d+:in}).first.to_s[%r{[^/]+:\d+}]
  "fail\t#{e.class}: #{e.message} [#{place}]".scrub.gsub(/\s+/, ' ').sub('fail ', "fail\t")
end
