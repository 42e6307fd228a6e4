-- The chats of the platform that Cairn replaces keep their shape, in which times may be null (0107). Lists are ordered by these
-- times and continue after the last one, so a row without a time is on no page: nobody sees it again. Rows that are there get the
-- best time that is known, and rows that somebody else inserts get the current one. The columns stay as they are.
SET LOCAL lock_timeout = '2s';

-- Not an edit, so it does not count as one.
ALTER TABLE tool_chats DISABLE TRIGGER touch_row;
UPDATE tool_chats c SET created_at = coalesce(c.created_at, c.updated_at, u.created_at),
    updated_at = coalesce(c.updated_at, c.created_at, u.created_at)
FROM users u
WHERE u.id = c.user_id AND (c.created_at IS NULL OR c.updated_at IS NULL);
ALTER TABLE tool_chats ENABLE TRIGGER touch_row;
UPDATE tool_messages m SET created_at = c.created_at
FROM tool_chats c
WHERE c.id = m.chat_id AND m.created_at IS NULL;

CREATE FUNCTION fill_created_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.created_at := now();
    RETURN NEW;
END;
$$;
CREATE TRIGGER fill_created_at BEFORE INSERT OR UPDATE OF created_at ON tool_chats
    FOR EACH ROW WHEN (NEW.created_at IS NULL) EXECUTE FUNCTION fill_created_at();
CREATE TRIGGER fill_created_at BEFORE INSERT OR UPDATE OF created_at ON tool_messages
    FOR EACH ROW WHEN (NEW.created_at IS NULL) EXECUTE FUNCTION fill_created_at();
CREATE FUNCTION fill_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := coalesce(NEW.created_at, now());
    RETURN NEW;
END;
$$;
CREATE TRIGGER fill_updated_at BEFORE INSERT OR UPDATE OF updated_at ON tool_chats
    FOR EACH ROW WHEN (NEW.updated_at IS NULL) EXECUTE FUNCTION fill_updated_at();
