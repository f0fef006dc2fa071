-- Each thread counts up in a row of its own, and reads it after each write: a read that gives less is stale.

require("oltp_common")

sysbench.cmdline.options.reads = {"Reads after each write", 1}
sysbench.cmdline.options.other = {"Read in another session than that which writes", false}

function thread_init()
   local driver = sysbench.sql.driver()
   row = 1 + sysbench.tid * 100
   stale = 0
   -- In a session of its own: what a session has read from the primary decides where it reads next.
   local asker = driver:connect()
   written = tonumber(asker:query_row("/* shardproxy: primary */ SELECT k FROM sbtest1 WHERE id = " .. row))
   asker:disconnect()
   writer = driver:connect()
   reader = sysbench.opt.other and driver:connect() or writer
end

function event()
   written = written + 1
   writer:query("UPDATE sbtest1 SET k = " .. written .. " WHERE id = " .. row)
   for _ = 1, sysbench.opt.reads do
      if tonumber(reader:query_row("SELECT k FROM sbtest1 WHERE id = " .. row)) < written then
         stale = stale + 1
      end
   end
end

function thread_done()
   print("stale reads: " .. stale)
   if reader ~= writer then
      reader:disconnect()
   end
   writer:disconnect()
end
