package main

import (
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"compat/compat"
)

// GORM keeps statements prepared if it is asked to.
func prepared(t *compat.T) {
	orm := ormOf(t).Session(&gorm.Session{PrepareStmt: true})
	// With a single connection it waits for itself: within a transaction it prepares on another one.
	compat.Value(orm.DB()).SetMaxOpenConns(3)
	migrated(orm)
	compat.Must(orm.Create(&person{ID: 7, Name: "seven"}).Error)
	t.Step("many executions", func() {
		for id := range 50 {
			one := order{ID: int64(id), PersonID: 7, Item: fmt.Sprint("item ", id), Amount: float64(id), Placed: placed}
			compat.Must(orm.Create(&one).Error)
			var back order
			compat.Must(orm.Where("id = ?", id).Take(&back).Error)
			compat.Equal([]any{back.ID, back.Item, back.Amount, back.Placed.UTC()}, []any{one.ID, one.Item, one.Amount, placed}, "order")
		}
	})
	t.Step("changing types", func() {
		for _, value := range []any{7, "7", int64(7), 7.0} {
			var item string
			compat.Must(orm.Model(&order{}).Select("item").Where("id = ?", value).Scan(&item).Error)
			compat.Equal(item, "item 7", fmt.Sprintf("by %T", value))
		}
	})
	t.Step("wrong SQL", func() {
		compat.Refused(orm.Exec("SELEKT ?", 1).Error, 1064)
		compat.Refused(orm.Exec("DELETE FROM "+compat.Named("nowhere")+" WHERE id = ?", 1).Error, 1146)
		compat.Alive(client{orm})
	})
}

func transactions(t *compat.T) {
	there, orm := ormOf(t), ormOf(t)
	migrated(orm)
	insert := func(on *gorm.DB, ids ...int64) error {
		for _, id := range ids {
			if err := on.Create(&person{ID: id, Name: "x"}).Error; err != nil {
				return err
			}
		}
		return nil
	}
	ids := func(on *gorm.DB) (found []int64) {
		compat.Must(on.Model(&person{}).Order("id").Pluck("id", &found).Error)
		return
	}
	clean := func(what string, action func()) {
		t.Step(what, func() {
			compat.Must(there.Exec("DELETE FROM " + person{}.TableName()).Error)
			action()
		})
	}
	onPurpose := errors.New("on purpose")
	clean("commit", func() {
		tx := orm.Begin()
		defer tx.Rollback()
		compat.Must(insert(tx, 1, 2, 5, 6))
		compat.Equal([][]int64{ids(tx), ids(there)}, [][]int64{{1, 2, 5, 6}, {}}, "before, here and there")
		compat.Must(tx.Commit().Error)
		compat.Equal(ids(there), []int64{1, 2, 5, 6}, "after, there")
	})
	clean("savepoint", func() {
		tx := orm.Begin()
		defer tx.Rollback()
		compat.Must(insert(tx, 1))
		compat.Must(tx.SavePoint("a").Error)
		compat.Must(insert(tx, 5))
		compat.Must(tx.RollbackTo("a").Error)
		compat.Must(insert(tx, 6))
		compat.Must(tx.Commit().Error)
		compat.Equal(ids(there), []int64{1, 6}, "there")
	})
	clean("helper", func() {
		compat.Must(orm.Transaction(func(tx *gorm.DB) error {
			compat.Must(insert(tx, 1))
			inner := tx.Transaction(func(tx *gorm.DB) error {
				compat.Must(insert(tx, 5))
				return onPurpose
			})
			compat.Equal(inner, onPurpose, "what the inner one ends with")
			return insert(tx, 6)
		}, &sql.TxOptions{Isolation: sql.LevelReadCommitted}))
		failed := orm.Transaction(func(tx *gorm.DB) error {
			compat.Must(insert(tx, 7))
			return onPurpose
		})
		compat.Equal(failed, onPurpose, "what the failing one ends with")
		compat.Equal(ids(there), []int64{1, 6}, "there")
	})
	clean("locks", func() {
		compat.Must(insert(orm, 1))
		compat.Must(orm.Transaction(func(tx *gorm.DB) error {
			var locked person
			compat.Must(tx.Clauses(clause.Locking{Strength: "UPDATE"}).First(&locked, 1).Error)
			return tx.Model(&locked).Update("name", "changed").Error
		}))
		var back person
		compat.Must(there.First(&back, 1).Error)
		compat.Equal(back.Name, "changed", "name")
	})
	clean("read only", func() {
		tx := orm.Begin(&sql.TxOptions{ReadOnly: true})
		defer tx.Rollback()
		compat.Refused(insert(tx, 1), 1792)
	})
}

func batch(t *compat.T) {
	orm := ormOf(t)
	migrated(orm)
	all := make([]person, 1000)
	for i := range all {
		all[i] = person{ID: int64(i + 1), Name: "item " + strconv.Itoa(i+1), Visits: i}
	}
	compat.Equal(compat.Value(affected(orm.CreateInBatches(&all, 250))), int64(1000), "affected rows")
	var count, sum int64
	compat.Must(orm.Model(&person{}).Count(&count).Error)
	compat.Must(orm.Model(&person{}).Select("SUM(visits)").Scan(&sum).Error)
	compat.Equal([]int64{count, sum}, []int64{1000, 499500}, "what is there")
	compat.Equal(compat.Value(affected(orm.Model(&person{}).Where("id <= ?", 600).Update("name", "x"))), int64(600), "affected rows of UPDATE")
	compat.Equal(compat.Value(affected(orm.Unscoped().Where("name = ?", "x").Delete(&person{}))), int64(600), "affected rows of DELETE")
}

func affected(result *gorm.DB) (int64, error) { return result.RowsAffected, result.Error }

func keys(t *compat.T) {
	orm := ormOf(t)
	migrated(orm)
	one := tag{Label: "one"}
	compat.Must(orm.Create(&one).Error)
	three := []tag{{Label: "two"}, {Label: "three", Uses: 5}, {Label: "four"}}
	compat.Equal(compat.Value(affected(orm.Create(&three))), int64(3), "affected rows")
	compat.Equal([]uint{three[1].ID, three[2].ID}, []uint{three[0].ID + 1, three[0].ID + 2}, "keys of several rows")
	compat.Holds(one.ID > 0 && three[0].ID > one.ID, "keys do not grow: %d, %d", one.ID, three[0].ID)
	for _, each := range append(three, one) {
		var back tag
		compat.Must(orm.Take(&back, each.ID).Error)
		compat.Equal([]any{back.Label, back.Uses}, []any{each.Label, each.Uses}, fmt.Sprint("tag ", each.ID))
	}
}
