package compat

import (
	"database/sql"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
)

const orderColumns = "id BIGINT PRIMARY KEY, person BIGINT NOT NULL, item VARCHAR(100), amount DECIMAL(12,2)"

// Both ways in which a client sends values.
var ways = map[string][]func(*mysql.Config){"text": {Interpolated}, "prepared": nil}

func unicode(t *T) {
	column := "Größe_名前_e\u0301"
	values := []string{"\U0001F469\u200D\U0001F4BB\U0001F600", "e\u0301\u0323", "\u00e9", "名前", "\U0010FFFF", "עברית"}
	for way, option := range ways {
		t.Step(way, func() {
			client := t.Open(option...)
			table := Create(client, "unicode", "id INT PRIMARY KEY, `"+column+"` VARCHAR(100) COLLATE utf8mb4_bin UNIQUE")
			expected := [][]any{}
			for id, value := range values {
				Exec(client, "INSERT INTO "+table+" VALUES (?, ?)", id, value)
				expected = append(expected, []any{strconv.Itoa(id), value})
			}
			Equal(Rows(client, "SELECT id, `"+column+"` FROM "+table+" WHERE id >= ? ORDER BY id", 0), expected, "values")
			Equal(Rows(client, "SELECT CHAR_LENGTH(?), HEX(?)", "e\u0301😀", "😀"), [][]any{{"3", "F09F9880"}}, "what the server got")
			rows := Value(client.Rows(background, "SELECT * FROM "+table))
			defer rows.Close()
			Equal(Value(rows.Columns()), []string{"id", column}, "columns")
		})
	}
	t.Step("message", func() {
		client := t.Open()
		table := Create(client, "unicode", "name VARCHAR(100) PRIMARY KEY")
		Exec(client, "INSERT INTO "+table+" VALUES ('名前')")
		message := Refused(TryExec(client, "INSERT INTO "+table+" VALUES ('名前')"), 1062).Message
		Holds(strings.Contains(message, "'名前'"), "no 名前 in the message: %s", message)
		message = Refused(TryExec(client, "DELETE FROM `täble_名前`"), 1146).Message
		Holds(strings.Contains(message, "täble_名前"), "no täble_名前 in the message: %s", message)
	})
}

func prepared(t *T) {
	client := t.Open()
	db := client.DB()
	table := Create(client, "orders", orderColumns)
	t.Step("many executions", func() {
		insert := Value(db.Prepare("INSERT INTO " + table + " VALUES (?, ?, ?, ?)"))
		query := Value(db.Prepare("SELECT item, amount FROM " + table + " WHERE id = ?"))
		one := func(id any) [][]any {
			rows := Value(query.Query(id))
			defer rows.Close()
			return Value(Read(rows))
		}
		for id := 1; id <= 50; id++ {
			item := []any{fmt.Sprint("item ", id), nil, id * 3, []byte("bytes")}[id%4]
			wanted := []any{fmt.Sprint("item ", id), nil, strconv.Itoa(id * 3), "bytes"}[id%4]
			amount := []any{nil, fmt.Sprint(id, ".25")}[min(id%5, 1)]
			Equal(Value(Value(insert.Exec(id, []any{7, "7"}[id%2], item, amount)).RowsAffected()), int64(1), "affected rows")
			Equal(one([]any{id, strconv.Itoa(id)}[id%2]), [][]any{{wanted, amount}}, fmt.Sprint("row ", id))
		}
		Equal(one(1000), [][]any{}, "no such row")
		Must(insert.Close())
		Equal(len(one(1)), 1, "rows after the other was closed")
		Must(query.Close())
	})
	t.Step("several rows", func() {
		found := Column(client, "SELECT id FROM "+table+" WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT ?", 10, 40, 3)
		Equal(found, "40 39 38", "ids")
	})
	t.Step("changing types", func() {
		statement := Value(db.Prepare("SELECT CONCAT(?, '')"))
		defer statement.Close()
		for _, value := range []any{"text", 1, nil, 2.5, "é😀", "", []byte("bytes"), uint64(1 << 63)} {
			rows := Value(statement.Query(value))
			got := Value(Read(rows))
			Must(rows.Close())
			want := value
			if value != nil {
				if content, isBytes := value.([]byte); isBytes {
					want = string(content)
				} else {
					want = fmt.Sprint(value)
				}
			}
			Equal(got, [][]any{{want}}, "value")
		}
	})
	t.Step("wrong SQL", func() {
		_, err := db.Prepare("SELEKT ?")
		Refused(err, 1064)
	})
	t.Step("unknown table", func() {
		_, err := db.Prepare("SELECT * FROM " + Named("nowhere") + " WHERE id = ?")
		Refused(err, 1146)
	})
	t.Step("afterwards", func() { Alive(client) })
}

func batch(t *T) {
	for way, option := range ways {
		t.Step(way, func() {
			client := t.Open(option...)
			table := Create(client, "orders", orderColumns)
			marks, values := []string{}, []any{}
			for id := 1; id <= 1000; id++ {
				marks = append(marks, "(?, ?, ?, ?)")
				values = append(values, id, id%7, fmt.Sprint("item ", id), fmt.Sprint(id, ".25"))
			}
			// The driver has no batch of its own; many rows in one statement are its way.
			Equal(Exec(client, "INSERT INTO "+table+" VALUES "+strings.Join(marks, ", "), values...), int64(1000), "affected rows")
			CountThousand(client, table)
			Equal(Exec(client, "UPDATE "+table+" SET item = 'x' WHERE id <= 600"), int64(600), "affected rows of UPDATE")
			Equal(Exec(client, "DELETE FROM "+table+" WHERE person = 1"), int64(143), "affected rows of DELETE")
		})
	}
}

// CountThousand fails unless the thousand orders are there.
func CountThousand(client Client, table string) {
	Equal(Rows(client, "SELECT COUNT(*), SUM(amount), MAX(item) FROM "+table), [][]any{{"1000", "500750.00", "item 999"}}, "what is there")
}

func keys(t *T) {
	for way, option := range ways {
		t.Step(way, func() {
			client := t.Open(option...)
			table := Create(client, "keys", "id BIGINT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20)")
			insert := func(names ...any) int64 {
				marks := strings.Repeat(", (?)", len(names))[2:]
				result := Value(client.DB().Exec("INSERT INTO "+table+" (name) VALUES "+marks, names...))
				Equal(Value(result.RowsAffected()), int64(len(names)), "affected rows")
				first := Value(result.LastInsertId())
				Equal(Column(client, "SELECT LAST_INSERT_ID()"), asText(first), "LAST_INSERT_ID()")
				wanted := []string{}
				for i := range names {
					wanted = append(wanted, strconv.FormatInt(first+int64(i), 10))
				}
				Equal(Column(client, "SELECT id FROM "+table+" WHERE id >= ? ORDER BY id", first), strings.Join(wanted, " "), "keys")
				return first
			}
			first := insert("one")
			Holds(insert("two", "three", "four") > first, "keys do not grow")
			Exec(client, "INSERT INTO "+table+" VALUES (5000000000, 'far')")
			Holds(insert("farther") > 5_000_000_000, "a key of more than 32 bits")
		})
	}
}

func stream(t *T) {
	client := t.Open()
	table := Create(client, "orders", orderColumns)
	const count, each = 200_000, 5_000
	for start := 1; start <= count; start += each {
		rows := make([]string, 0, each)
		for id := start; id < start+each; id++ {
			rows = append(rows, fmt.Sprintf("(%d, 1, 'item', %d)", id, id))
		}
		Exec(client, "INSERT INTO "+table+" VALUES "+strings.Join(rows, ", "))
	}
	for way, values := range map[string][]any{"text": nil, "prepared": {0}} {
		t.Step(way, func() {
			where := strings.Repeat(" WHERE id > ?", len(values))
			rows := Value(client.Rows(background, "SELECT id, amount FROM "+table+where+" ORDER BY id", values...))
			defer rows.Close()
			next, sum := 1, 0.0
			for ; rows.Next(); next++ {
				var id int
				var amount float64
				Must(rows.Scan(&id, &amount))
				Holds(id == next, "row %d has the id %d", next, id)
				sum += amount
			}
			Must(rows.Err())
			Equal([]float64{float64(next - 1), sum}, []float64{count, count * (count + 1) / 2}, "rows and their sum")
			Alive(client)
		})
	}
}

func large(t *T) {
	value := []byte(strings.Repeat(string(allBytes[:251]), 17_000_000/251))
	for way, option := range ways {
		t.Step(way, func() {
			client := t.Open(option...)
			table := Create(client, "large", "id INT PRIMARY KEY, value LONGBLOB")
			Equal(Exec(client, "INSERT INTO "+table+" VALUES (?, ?)", 1, value), int64(1), "affected rows")
			row := Rows(client, "SELECT value, LENGTH(value) FROM "+table+" WHERE id = ?", 1)[0]
			Equal(row[1], strconv.Itoa(len(value)), "length at the server")
			Holds(row[0] == string(value), "%d bytes came back, not those that went", len(row[0].(string)))
		})
	}
}

// Results are all results of the statements, one after the other.
func results(rows *sql.Rows) [][][]any {
	defer rows.Close()
	all := [][][]any{Value(Read(rows))}
	for rows.NextResultSet() {
		all = append(all, Value(Read(rows)))
	}
	Must(rows.Err())
	return all
}

func multi(t *T) {
	client := t.Open(func(config *mysql.Config) { config.MultiStatements = true })
	t.Step("several results", func() {
		got := results(Value(client.Rows(background, "SELECT 1; SELECT 2, 'x'; SELECT 3 FROM DUAL WHERE 1 = 0")))
		Equal(got, [][][]any{{{"1"}}, {{"2", "x"}}, {}}, "results")
	})
	t.Step("several writes", func() {
		table := Create(client, "multi", "id INT PRIMARY KEY")
		Exec(client, "INSERT INTO "+table+" VALUES (1), (2); UPDATE "+table+" SET id = 3 WHERE id = 2; DELETE FROM "+table+" WHERE id = 1")
		Equal(Column(client, "SELECT id FROM "+table), "3", "what is there")
	})
	t.Step("an error in the second", func() {
		Refused(TryExec(client, "DO 1; DO nothing_there; DO 2"), 1054)
		Alive(client)
	})
	t.Step("CALL", func() {
		procedure := Named("both")
		Exec(client, "DROP PROCEDURE IF EXISTS "+procedure)
		Exec(client, "CREATE PROCEDURE "+procedure+"(IN a INT, OUT b INT) BEGIN SELECT a AS first; SELECT a + 1, 'x'; SET b = a + 2; END")
		got := results(Value(client.Rows(background, "CALL "+procedure+"(40, @b)")))
		Equal(got[:2], [][][]any{{{"40"}}, {{"41", "x"}}}, "results")
		Equal(Column(client, "SELECT @b"), "42", "OUT parameter")
	})
}

func infile(t *T) {
	mysql.RegisterReaderHandler("orders", func() io.Reader {
		var lines strings.Builder
		for id := 1; id <= 1000; id++ {
			fmt.Fprintf(&lines, "%d\t%d\titem %d\t%d.25\n", id, id%7, id, id)
		}
		return strings.NewReader(lines.String())
	})
	client := t.Open()
	load := func(name string) {
		table := Create(client, name, orderColumns)
		Equal(Exec(client, "LOAD DATA LOCAL INFILE 'Reader::orders' INTO TABLE "+table), int64(1000), "affected rows")
		CountThousand(client, table)
	}
	t.Step("one table", func() { load("loaded") })
	if Sharded {
		t.Step("a sharded table", func() { load("orders") })
	}
	t.Step("afterwards", func() { Alive(client) })
}
