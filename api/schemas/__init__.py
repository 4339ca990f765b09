"""What requests and answers look like: names are fixed by the API's contract."""
