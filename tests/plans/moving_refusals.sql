-- What is refused only while rows are moved.

-- SP1222: rows that this table's key cannot tell from those that stay.

SELECT COUNT(*) FROM events;
-- SP1222: rows of 'events' are being moved, and cannot be told by its key: 'soon' is not a date

UPDATE events SET name = 'x';
-- SP1222: rows of 'events' are being moved, and cannot be told by its key: 'soon' is not a date
