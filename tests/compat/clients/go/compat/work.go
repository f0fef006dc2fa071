package compat

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/go-sql-driver/mysql"
)

// Where the table is sharded, the ids 1 and 5 are on different shards.
func transactions(t *T) {
	other := t.Open()
	client := t.Open()
	table := Create(client, "orders", orderColumns)
	ids := "SELECT id FROM " + table + " ORDER BY id"
	there := func() string { return Column(other, ids) }
	begin := func(options *sql.TxOptions) (*sql.Tx, Client) {
		tx := Value(client.DB().BeginTx(background, options))
		return tx, inside{tx}
	}
	insert := func(on Client, id int) error { return TryExec(on, "INSERT INTO "+table+" VALUES (?, 1, 'x', 1)", id) }
	clean := func(what string, action func()) {
		t.Step(what, func() {
			Exec(other, "DELETE FROM "+table)
			action()
		})
	}
	clean("commit", func() {
		tx, here := begin(nil)
		defer tx.Rollback()
		for _, id := range []int{1, 2, 5, 6} {
			Must(insert(here, id))
		}
		Equal([]string{Column(here, ids), there()}, []string{"1 2 5 6", ""}, "before, here and there")
		Must(tx.Commit())
		Equal([]string{Column(client, ids), there()}, []string{"1 2 5 6", "1 2 5 6"}, "after, here and there")
	})
	clean("rollback", func() {
		tx, here := begin(nil)
		defer tx.Rollback()
		Must(insert(here, 1))
		Exec(here, "INSERT INTO "+table+" VALUES (2, 1, 'x', 1), (5, 1, 'x', 1)")
		Must(tx.Rollback())
		Equal([]string{Column(client, ids), there()}, []string{"", ""}, "here and there")
	})
	clean("savepoint", func() {
		tx, here := begin(nil)
		defer tx.Rollback()
		Must(insert(here, 1))
		Exec(here, "SAVEPOINT a")
		Must(insert(here, 5))
		Exec(here, "ROLLBACK TO SAVEPOINT a")
		Must(insert(here, 6))
		Exec(here, "RELEASE SAVEPOINT a")
		Must(tx.Commit())
		Equal(there(), "1 6", "there")
	})
	clean("isolation level", func() {
		tx, here := begin(&sql.TxOptions{Isolation: sql.LevelRepeatableRead})
		defer tx.Rollback()
		Equal(Column(here, ids), "", "first look")
		Must(insert(other, 7))
		Equal(Column(here, ids), "", "second look")
		Must(tx.Commit())
		tx, here = begin(&sql.TxOptions{Isolation: sql.LevelReadCommitted})
		defer tx.Rollback()
		Equal(Column(here, ids), "7", "third look")
		Exec(other, "DELETE FROM "+table)
		Equal(Column(here, ids), "", "fourth look")
	})
	clean("autocommit", func() {
		Exec(client, "SET autocommit = 0")
		defer Exec(client, "SET autocommit = 1")
		Must(insert(client, 1))
		Equal(there(), "", "there, before")
		Exec(client, "COMMIT")
		Must(insert(client, 2))
		Exec(client, "ROLLBACK")
		Equal(there(), "1", "there, after")
	})
	clean("read only", func() {
		tx, here := begin(&sql.TxOptions{ReadOnly: true})
		defer tx.Rollback()
		Refused(insert(here, 1), 1792)
	})
	clean("given up by its context", func() {
		limited, cancel := context.WithCancel(background)
		tx := Value(client.DB().BeginTx(limited, nil))
		Must(insert(inside{tx}, 1))
		cancel()
		Eventually("the transaction is over", func() bool { return tx.Commit() == sql.ErrTxDone })
		Equal(Column(client, ids), "", "what is left")
	})
}

// A client that sends its statements in a transaction.
type inside struct{ tx *sql.Tx }

func (i inside) DB() *sql.DB { return nil }

func (i inside) Rows(ctx context.Context, statement string, values ...any) (*sql.Rows, error) {
	return i.tx.QueryContext(ctx, statement, values...)
}

func (i inside) Exec(ctx context.Context, statement string, values ...any) (int64, error) {
	result, err := i.tx.ExecContext(ctx, statement, values...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func refusals(t *T) {
	for way, option := range ways {
		client := t.Open(option...)
		table := Create(client, "orders", orderColumns)
		Exec(client, "INSERT INTO "+table+" VALUES (1, 1, 'x', 1)")
		for _, each := range []struct {
			what, statement string
			values          []any
			number          uint16
			state           string
		}{
			{"duplicate key", "INSERT INTO " + table + " VALUES (?, 1, 'x', 1)", []any{1}, 1062, "23000"},
			{"unknown table", "SELECT * FROM " + Named("nowhere") + " WHERE id = ?", []any{1}, 1146, "42S02"},
			{"syntax", "SELEKT ?", []any{1}, 1064, "42000"},
			{"unknown column", "SELECT nothing_there FROM " + table + " WHERE id = ?", []any{1}, 1054, "42S22"},
			{"no value", "INSERT INTO " + table + " VALUES (2, ?, 'x', 1)", []any{nil}, 1048, "23000"},
			{"too long", "INSERT INTO " + table + " VALUES (2, 1, REPEAT('x', ?), 1)", []any{101}, 1406, "22001"},
		} {
			t.Step(way+", "+each.what, func() {
				refused := Refused(TryExec(client, each.statement, each.values...), each.number)
				Equal(string(refused.SQLState[:]), each.state, "SQLSTATE")
			})
			t.Step(fmt.Sprint(way, ", after ", each.what), func() { Alive(client) })
		}
	}
	login := func(what string, number uint16, change func(*mysql.Config)) {
		t.Step(what, func() {
			_, err := t.Try(change)
			Refused(err, number)
		})
	}
	login("wrong password", 1045, func(config *mysql.Config) { config.Passwd = "wrong" })
	login("unknown user", 1045, func(config *mysql.Config) { config.User = Named("nobody") })
	login("unknown schema", 1049, func(config *mysql.Config) { config.DBName = Named("nowhere") })
}
