-- Settings are described in code.

-- The table in core/src/settings says what each setting is and what its default is. A row whose value is null has the
-- default, so that a default that a later release changes applies to whoever has not chosen another value. The values that
-- were installed with the platform are the defaults.
ALTER TABLE platform_settings DROP COLUMN description;
ALTER TABLE platform_settings DISABLE TRIGGER touch_row;
UPDATE platform_settings SET value = 'null' WHERE version = 1;
ALTER TABLE platform_settings ENABLE TRIGGER touch_row;

-- The activity log is read by admins: everything, or by who, what, the type of the object, or the object, always newest
-- first. Each of these has an index that delivers the order, so a page is as fast among ten million rows as among ten.
-- Requests do not write the log, so while these are built only the queue of activities waits.
CREATE INDEX activity_log_action_idx ON activity_log (action, occurred_at DESC, id DESC);
CREATE INDEX activity_log_target_type_idx ON activity_log (target_type, occurred_at DESC, id DESC) WHERE target_type IS NOT NULL;
DROP INDEX activity_log_target_idx;
CREATE INDEX activity_log_target_idx ON activity_log (target_id, occurred_at DESC, id DESC) WHERE target_id IS NOT NULL;
-- The history of an object is what was changed in it, not what a hundred thousand learners did with it.
CREATE INDEX activity_log_changes_idx ON activity_log (target_id, occurred_at DESC, id DESC)
    WHERE metadata ?| ARRAY['before', 'after'];
