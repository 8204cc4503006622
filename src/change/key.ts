/** What a row is recognised by: the text of each key column, in the order of the table's columns. */
export type Key = readonly string[];
