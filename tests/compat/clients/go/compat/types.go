package compat

import (
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
)

type column struct {
	name, definition string
	values           [2]any // as they go
	same             func(got string, sent any) bool
}

func text(got string, sent any) bool { return got == sent }

// Any zeros at the end of a fraction of a second are left to the protocol.
func moment(got string, sent any) bool {
	short := func(value string) string { return strings.TrimSuffix(strings.TrimRight(value, "0"), ".") }
	if !strings.Contains(got, ".") {
		got += "."
	}
	return short(got) == short(sent.(string))
}

func integer(got string, sent any) bool { return got == asText(reflectInteger(sent)) }

func reflectInteger(value any) any {
	if signed, ok := value.(int); ok {
		return int64(signed)
	}
	return value
}

// In a text, servers give six digits of a FLOAT.
func float(got string, sent any) bool {
	value, err := strconv.ParseFloat(got, 64)
	return err == nil && math.Abs(value/sent.(float64)-1) < 1e-5
}

func double(got string, sent any) bool {
	value, err := strconv.ParseFloat(got, 64)
	return err == nil && value == sent.(float64)
}

func raw(got string, sent any) bool { return got == string(sent.([]byte)) }

func document(got string, sent any) bool {
	var one, other any
	return json.Unmarshal([]byte(got), &one) == nil && json.Unmarshal([]byte(sent.(string)), &other) == nil && reflect.DeepEqual(one, other)
}

var allBytes = func() []byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return all
}()

var columns = []column{
	{"c_tiny", "TINYINT", [2]any{-128, 127}, integer},
	{"c_utiny", "TINYINT UNSIGNED", [2]any{0, 255}, integer},
	{"c_small", "SMALLINT", [2]any{-32768, 32767}, integer},
	{"c_usmall", "SMALLINT UNSIGNED", [2]any{0, 65535}, integer},
	{"c_medium", "MEDIUMINT", [2]any{-8388608, 8388607}, integer},
	{"c_umedium", "MEDIUMINT UNSIGNED", [2]any{0, 16777215}, integer},
	{"c_int", "INT", [2]any{math.MinInt32, math.MaxInt32}, integer},
	{"c_uint", "INT UNSIGNED", [2]any{0, math.MaxUint32}, integer},
	{"c_big", "BIGINT", [2]any{math.MinInt64, math.MaxInt64}, integer},
	{"c_ubig", "BIGINT UNSIGNED", [2]any{0, uint64(math.MaxUint64)}, integer},
	{"c_decimal", "DECIMAL(65,30)", [2]any{"-99999999999999999999999999999999999.999999999999999999999999999999",
		"0.000000000000000000000000000001"}, text},
	{"c_float", "FLOAT", [2]any{-3.25e38, 0.15625}, float},
	{"c_double", "DOUBLE", [2]any{-math.MaxFloat64, 0.1}, double},
	{"c_date", "DATE", [2]any{"1000-01-01", "9999-12-31"}, text},
	{"c_time", "TIME(6)", [2]any{"-838:59:58.000001", "101:02:03.999999"}, moment},
	{"c_datetime", "DATETIME(6)", [2]any{"1000-01-01 00:00:00.000000", "9999-12-31 23:59:59.999999"}, moment},
	{"c_timestamp", "TIMESTAMP(6) NULL", [2]any{"1970-01-02 00:00:00.000001", "2038-01-19 03:14:07.999999"}, moment},
	{"c_year", "YEAR", [2]any{1901, 2155}, integer},
	{"c_char", "CHAR(10)", [2]any{"", "Größe 😀"}, text},
	{"c_varchar", "VARCHAR(300)", [2]any{"it's \\ \"quoted\"\n\t\x00\x1a%_;--", strings.Repeat("é", 300)}, text},
	{"c_text", "TEXT", [2]any{"", strings.Repeat("e\u0301\U0001F469\u200D\U0001F4BB ", 500)}, text},
	{"c_binary", "BINARY(4)", [2]any{[]byte{0, 0, 0, 0}, []byte{255, '\'', '\\', 0}}, raw},
	{"c_varbinary", "VARBINARY(300)", [2]any{[]byte{}, allBytes}, raw},
	{"c_blob", "BLOB", [2]any{allBytes, []byte(strings.Repeat(string(allBytes), 200))}, raw},
	{"c_enum", "ENUM('small','medium','größer')", [2]any{"small", "größer"}, text},
	{"c_set", "SET('a','b','c d')", [2]any{"", "a,c d"}, text},
	{"c_bit", "BIT(64)", [2]any{make([]byte, 8), []byte("\xfe\xdc\xba\x98\x76\x54\x32\x10")}, raw},
	{"c_json", "JSON", [2]any{`[]`, `{"name": "Zoë 😀", "list": [1, 2.5, null, true], "deep": {"empty": {}, "ключ": "\"\\/\n"}}`}, document},
}

// every type there and back, over a client that sends its values in the one way or the other.
func everyType(client Client) {
	// Where the table is sharded, these ids are on different shards.
	definition, row := "id BIGINT PRIMARY KEY", [3][]any{{1}, {5}, {6}}
	for _, each := range columns {
		definition += ", " + each.name + " " + each.definition
		row[0], row[1], row[2] = append(row[0], each.values[0]), append(row[1], each.values[1]), append(row[2], nil)
	}
	Exec(client, "SET time_zone = '+00:00'")
	// A sharded table where there is one, so that rows of every type are merged.
	table := Create(client, "orders", definition)
	for _, values := range row {
		marks := strings.Repeat(", ?", len(columns))
		Equal(Exec(client, "INSERT INTO "+table+" VALUES (?"+marks+")", values...), int64(1), "affected rows")
	}
	rows := Rows(client, "SELECT * FROM "+table+" WHERE id > ? ORDER BY id", 0)
	Equal(len(rows), 3, "rows")
	var wrong []string
	for number, got := range rows {
		Equal(got[0], strconv.Itoa(row[number][0].(int)), "id")
		for i, each := range columns {
			value, isText := got[i+1].(string)
			if number == 2 && got[i+1] != nil || number < 2 && (!isText || !each.same(value, each.values[number])) {
				wrong = append(wrong, each.name+" in row "+strconv.Itoa(number+1)+" is "+brief(got[i+1]))
			}
		}
	}
	Holds(len(wrong) == 0, "%s", strings.Join(wrong, " | "))
}
