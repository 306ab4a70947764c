"""The report: scores, decision and answers in; one HTML page and the same in Markdown out."""
