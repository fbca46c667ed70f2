-- The answers to a challenge.
-- needs: answers
-- not for kept tables
create index if not exists "answers_challengeId_idx" on "answers" ("challengeId");
