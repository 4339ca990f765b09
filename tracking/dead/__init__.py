"""Dead letters in the database: kept, listed, held for a change, edited, sent again; and the trail of all that."""
