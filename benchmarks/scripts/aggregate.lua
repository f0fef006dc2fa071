-- A read that costs the server milliseconds: an aggregate over four fifths of a table, beginning anywhere.

require("oltp_common")

function prepare_statements()
end

function event()
   local span = math.floor(sysbench.opt.table_size * 0.8)
   local first = sysbench.rand.uniform(1, sysbench.opt.table_size - span)
   local table = sysbench.rand.uniform(1, sysbench.opt.tables)
   con:query(string.format("SELECT COUNT(*), SUM(k), MAX(pad) FROM sbtest%d WHERE id BETWEEN %d AND %d", table, first, first + span - 1))
end
