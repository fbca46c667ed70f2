-- Analysts' queries know the learners under their older name.
-- needs: organization-learners
-- unless: schooling-registrations
create or replace view "schooling-registrations" as select * from "organization-learners";
