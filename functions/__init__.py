"""What happens to one picture, in this order: validate, then resize once per rendition beside caption.

`telemetry` and `storage` are what the three share; `imaging` is pure and holds every decision about pixels, and
`examiner` bounds what those of Validate may cost. Claim, Reject, Record and the dead letter are no functions: the state
machine calls DynamoDB and SQS itself.
"""
