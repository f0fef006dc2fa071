-- A read that keeps its connection for five milliseconds and hardly costs the server anything.

require("oltp_common")

function prepare_statements()
end

function event()
   local id = sysbench.rand.uniform(1, sysbench.opt.table_size)
   con:query(string.format("SELECT c, SLEEP(0.005) FROM sbtest%d WHERE id = %d", sysbench.rand.uniform(1, sysbench.opt.tables), id))
end
