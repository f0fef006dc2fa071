package main

import (
	"errors"
	"fmt"
	"strings"

	driver "github.com/go-sql-driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"compat/compat"
)

func schema(t *compat.T) {
	orm := ormOf(t)
	migrated(orm)
	made := orm.Migrator()
	t.Step("tables", func() {
		tables := " " + strings.Join(compat.Value(made.GetTables()), " ") + " "
		for _, model := range []interface{ TableName() string }{person{}, order{}, tag{}} {
			compat.Holds(made.HasTable(model) && strings.Contains(tables, " "+model.TableName()+" "), "no %s in %s", model.TableName(), tables)
		}
		compat.Holds(!made.HasTable(compat.Named("nowhere")), "a table that is not there")
	})
	t.Step("columns", func() {
		types := map[string]string{}
		for _, column := range compat.Value(made.ColumnTypes(&order{})) {
			full, _ := column.ColumnType()
			nullable, _ := column.Nullable()
			key, _ := column.PrimaryKey()
			types[column.Name()] = fmt.Sprint(strings.Replace(full, "(20)", "", 1), " ", nullable, " ", key)
		}
		compat.Equal(types, map[string]string{"id": "bigint false true", "person_id": "bigint true false", "item": "varchar(50) true false",
			"amount": "decimal(12,2) true false", "placed": "datetime(3) true false"}, "columns")
	})
	t.Step("indexes", func() {
		found := map[string][]string{}
		for _, index := range compat.Value(made.GetIndexes(&order{})) {
			found[index.Name()] = index.Columns()
		}
		compat.Equal(found["by_person"], []string{"person_id", "item"}, "columns of the index")
		compat.Equal(made.HasConstraint(&person{}, "Orders"), !compat.Sharded, "the foreign key is there")
	})
	t.Step("alter", func() {
		type people struct {
			Nick string `gorm:"size:20;default:none;index:by_nick"`
		}
		named := orm.Table(person{}.TableName()).Migrator()
		compat.Must(named.AddColumn(&people{}, "Nick"))
		compat.Must(named.CreateIndex(&people{}, "by_nick"))
		compat.Holds(named.HasColumn(&people{}, "nick") && named.HasIndex(&people{}, "by_nick"), "no column or no index")
		compat.Must(named.DropIndex(&people{}, "by_nick"))
		compat.Must(named.RenameColumn(&people{}, "nick", "nickname"))
		compat.Must(named.DropColumn(&people{}, "nickname"))
		compat.Holds(!named.HasColumn(&people{}, "nickname"), "the column is still there")
	})
	t.Step("migrated again", func() { compat.Must(orm.AutoMigrate(&person{}, &order{}, &tag{})) })
	t.Step("drop", func() {
		compat.Must(made.DropTable(&order{}, &person{}, &tag{}))
		compat.Holds(!made.HasTable(&order{}), "the table is still there")
	})
}

// In the text of values and in prepared statements.
func use(t *compat.T) {
	for way, option := range map[string][]func(*driver.Config){"text": {compat.Interpolated}, "prepared": nil} {
		orm := ormOf(t, option...)
		migrated(orm)
		step := func(what string, action func(*gorm.DB)) {
			t.Step(way+", "+what, func() { action(orm.Session(&gorm.Session{NewDB: true})) })
		}
		step("create", create)
		step("read", read)
		step("eager loading apart", preload)
		step("eager loading by join", join)
		step("aggregation", aggregate)
		step("update", update)
		step("upsert", upsert)
		step("delete", remove)
	}
}

func create(orm *gorm.DB) {
	all := people()
	compat.Must(orm.Create(&all[0]).Error)
	compat.Must(orm.Create(all[1:]).Error)
	bought := orders()
	compat.Must(orm.CreateInBatches(&bought, 10).Error)
	var count [2]int64
	compat.Must(orm.Model(&person{}).Count(&count[0]).Error)
	compat.Must(orm.Model(&order{}).Count(&count[1]).Error)
	compat.Equal(count, [2]int64{12, 36}, "counts")
	compat.Refused(orm.Create(&person{ID: 1, Name: "again"}).Error, 1062)
	var label tag
	compat.Must(orm.Where(tag{Label: "one"}).FirstOrCreate(&label).Error)
	compat.Must(orm.Where(tag{Label: "one"}).FirstOrCreate(&label).Error)
	compat.Equal([]any{label.ID > 0, label.Uses}, []any{true, 1}, "found or created")
}

func read(orm *gorm.DB) {
	var one person
	compat.Must(orm.First(&one, 1).Error)
	compat.Equal([]any{one.Name, *one.Email, one.Tags}, []any{"Ada1", "person1@example.org", map[string]int{"n": 1}}, "person")
	var bought order
	compat.Must(orm.Take(&bought, "id = ?", 101).Error)
	compat.Equal([]any{bought.Amount, bought.Placed.UTC()}, []any{1.5, placed}, "order")
	var names []string
	compat.Must(orm.Model(&person{}).Where("name LIKE ?", "Ada%").Order("id DESC").Limit(2).Offset(1).Pluck("name", &names).Error)
	compat.Equal(names, []string{"Ada5", "Ada1"}, "people by LIKE")
	var several []order
	compat.Must(orm.Order("id").Find(&several, []int{104, 101, 999}).Error)
	compat.Equal([]int64{several[0].ID, several[1].ID, int64(len(several))}, []int64{101, 104, 2}, "orders by id")
	err := orm.First(&person{}, 999).Error
	compat.Holds(errors.Is(err, gorm.ErrRecordNotFound), "nobody found: %v", err)
	seen := 0
	var some []order
	compat.Must(orm.FindInBatches(&some, 10, func(*gorm.DB, int) error { seen += len(some); return nil }).Error)
	compat.Equal(seen, 36, "rows in batches")
}

func preload(orm *gorm.DB) {
	var all []person
	compat.Must(orm.Preload("Orders", func(db *gorm.DB) *gorm.DB { return db.Order("id") }).Order("id").Find(&all).Error)
	items := []string{"tea", "bread", "wine"}
	for i, one := range all {
		ids := []int64{}
		for _, bought := range one.Orders {
			ids = append(ids, bought.ID)
			compat.Equal(bought.Item, items[i%3], "item")
		}
		compat.Equal(ids, []int64{int64(i) + 101, int64(i) + 113, int64(i) + 125}, "orders")
	}
	compat.Equal(len(all), 12, "people")
	compat.Equal(orm.Model(&all[2]).Association("Orders").Count(), int64(3), "orders of one")
}

func join(orm *gorm.DB) {
	var bought []order
	compat.Must(orm.Joins("Person").Where("person_id = ?", 3).Order("id").Find(&bought).Error)
	compat.Equal([]any{len(bought), bought[0].Person.Name}, []any{3, "Zoë3"}, "orders and whose they are")
}

func aggregate(orm *gorm.DB) {
	type total struct {
		Item string
		N    int
		Sum  float64
	}
	var totals []total
	compat.Must(orm.Model(&order{}).Select("item, COUNT(*) AS n, SUM(amount) AS sum").Group("item").Having("n > ?", 1).Order("item").Scan(&totals).Error)
	compat.Equal(totals, []total{{"bread", 12, 228}, {"tea", 12, 216}, {"wine", 12, 240}}, "totals")
	var items []string
	compat.Must(orm.Model(&order{}).Distinct("item").Order("item").Pluck("item", &items).Error)
	compat.Equal(items, []string{"bread", "tea", "wine"}, "items")
}

func update(orm *gorm.DB) {
	compat.Must(orm.Model(&person{ID: 2}).Updates(map[string]any{"name": "Zoë 😀", "visits": gorm.Expr("visits + ?", 5)}).Error)
	var one person
	compat.Must(orm.First(&one, 2).Error)
	compat.Equal([]any{one.Name, one.Visits}, []any{"Zoë 😀", 5}, "person")
	one.Tags["m"] = 1
	compat.Must(orm.Save(&one).Error)
	compat.Must(orm.First(&one, 2).Error)
	compat.Equal(one.Tags, map[string]int{"n": 2, "m": 1}, "document")
	rows := compat.Value(affected(orm.Model(&order{}).Where("item = ?", "tea").Update("item", "green tea")))
	compat.Equal(rows, int64(12), "rows of many")
}

func upsert(orm *gorm.DB) {
	rename := clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"name"})}
	compat.Must(orm.Clauses(rename).Create([]person{{ID: 5, Name: "again"}, {ID: 50, Name: "new"}}).Error)
	compat.Must(orm.Clauses(clause.OnConflict{UpdateAll: true}).Create(&person{ID: 50, Name: "newer"}).Error)
	compat.Must(orm.Clauses(clause.OnConflict{DoNothing: true}).Create(&person{ID: 5, Name: "ignored"}).Error)
	compat.Must(orm.Save(&person{ID: 51, Name: "saved"}).Error)
	var names []string
	compat.Must(orm.Model(&person{}).Where("id IN ?", []int{5, 50, 51}).Order("id").Pluck("name", &names).Error)
	compat.Equal(names, []string{"again", "newer", "saved"}, "names")
}

func remove(orm *gorm.DB) {
	compat.Must(orm.Delete(&person{}, 12).Error)
	var count [3]int64
	compat.Must(orm.Model(&person{}).Where("id = ?", 12).Count(&count[0]).Error)
	compat.Must(orm.Unscoped().Model(&person{}).Where("id = ?", 12).Count(&count[1]).Error)
	compat.Equal(compat.Value(affected(orm.Where("item <> ?", "bread").Delete(&order{}))), int64(24), "rows deleted")
	compat.Must(orm.Model(&order{}).Count(&count[2]).Error)
	compat.Equal(count, [3]int64{0, 1, 12}, "the person left softly, and the orders left")
}
