"""What happens to one picture, in this order: `validate`, `resize` once for each rendition, `caption`, `cleanup`.

`sweep` finishes what a dead execution left. `backfill` says what in the bucket needs all that, or needs it again.
`announce` tells others that a row has become final, and `notify` sends that to the webhook. `api` is what applications
call. `deliver` shows a picture in any size, to whoever has its URL. `imaging` is pure and holds every decision about
pixels, and `examiner` bounds what those of Validate may cost. The other files are what the functions share. Claim,
Reject, Record and the dead letter are no functions: the state machine calls DynamoDB and SQS itself.
"""
