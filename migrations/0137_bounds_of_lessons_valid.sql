-- Every row passed a narrower check.
ALTER TABLE lessons VALIDATE CONSTRAINT lessons_duration_minutes_check;
