//! Quotes from the platform's content.

/// The beginning of a text in Markdown as a quote of about `max` characters: whole paragraphs, or of a long one whole lines or
/// sentences. Headings become bold, and code that does not fit is left out.
pub(super) fn quote(text: &str, max: usize) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut left = max;
    let mut is_cut = false;
    for paragraph in paragraphs(text) {
        let length = paragraph.chars().count();
        if length <= left {
            left -= length;
            parts.push(heading(&paragraph).unwrap_or(paragraph));
            continue;
        }
        is_cut = true;
        let has_text = parts.iter().any(|part| !part.starts_with("**"));
        if !has_text && !paragraph.starts_with("```") {
            parts.push(beginning(&paragraph, left));
        }
        break;
    }
    // A heading that nothing follows says nothing.
    if parts.len() > 1 {
        parts.pop_if(|part| part.starts_with("**") && part.ends_with("**"));
    }
    let mut quote = parts.join("\n\n");
    if is_cut {
        quote.push_str(" …");
    }
    quote.lines().map(|line| format!("> {line}").trim_end().to_owned() + "\n").collect()
}

/// The text between blank lines. Code is one paragraph, even if it has blank lines.
fn paragraphs(text: &str) -> Vec<String> {
    let (mut paragraphs, mut current, mut in_code) = (Vec::new(), String::new(), false);
    for line in text.lines() {
        let is_fence = line.trim_start().starts_with("```");
        if line.trim().is_empty() && !in_code {
            paragraphs.push(std::mem::take(&mut current));
            continue;
        }
        if is_fence && !in_code {
            paragraphs.push(std::mem::take(&mut current));
        }
        in_code ^= is_fence;
        current.push_str(line);
        current.push('\n');
    }
    if in_code {
        current.push_str("```\n");
    }
    paragraphs.push(current);
    paragraphs.into_iter().map(|paragraph| paragraph.trim_end().to_owned()).filter(|p| !p.is_empty()).collect()
}

fn heading(paragraph: &str) -> Option<String> {
    let title = paragraph.trim_start_matches('#');
    let is_heading = title.len() < paragraph.len() && title.starts_with(' ') && !paragraph.contains('\n');
    is_heading.then(|| format!("**{}**", title.trim()))
}

/// Whole lines if some fit, or else whole sentences, or else words.
fn beginning(paragraph: &str, max: usize) -> String {
    let cut: String = paragraph.chars().take(max).collect();
    let end = cut.rfind('\n').or_else(|| {
        cut.rfind(['.', '!', '?', '…']).map(|end| end + cut[end..].chars().next().map_or(0, char::len_utf8))
    });
    let end = end.filter(|end| *end * 3 > cut.len()).or_else(|| cut.rfind(' '));
    end.map_or(cut.as_str(), |end| &cut[..end]).trim_end().to_owned()
}

/// The text on one line, cut at a word after about `max` characters.
pub(super) fn one_line(text: &str, max: usize) -> String {
    let mut line = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        let separator = usize::from(length > 0);
        length += separator + word.chars().count();
        if separator > 0 && length > max {
            return line + " …";
        }
        line.extend(std::iter::repeat_n(' ', separator));
        line.extend(word.chars().take(max));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_has_whole_paragraphs() {
        assert_eq!(quote("## Boxes\n\nOne.\n\nTwo.", 100), "> **Boxes**\n>\n> One.\n>\n> Two.\n");
        assert_eq!(quote("One.\n\nA longer one.", 8), "> One. …\n");
        assert_eq!(quote("One.\n\n## Two\n\nA longer one that does not fit.", 14), "> One. …\n");
        assert_eq!(quote("", 10), "");
    }

    #[test]
    fn a_long_paragraph_is_cut_at_a_line_a_sentence_or_a_word() {
        assert_eq!(quote("- first thing\n- second thing\n- third", 30), "> - first thing\n> - second thing …\n");
        assert_eq!(quote("It is so. It is not so at all.", 20), "> It is so. …\n");
        assert_eq!(quote("Это так? Это совсем не так.", 20), "> Это так? …\n");
        assert_eq!(quote("words without any end", 14), "> words without …\n");
        assert_eq!(quote(&"ы".repeat(50), 10), format!("> {} …\n", "ы".repeat(10)));
    }

    #[test]
    fn code_is_quoted_as_a_whole_or_not_at_all() {
        assert_eq!(
            quote("So:\n```css\na {}\n\nb {}\n```\nEnd.", 100),
            "> So:\n>\n> ```css\n> a {}\n>\n> b {}\n> ```\n> End.\n"
        );
        assert_eq!(quote("So:\n\n```css\na {}\n\nb {}\n```", 10), "> So: …\n");
        assert_eq!(quote("```\nnever ends", 100), "> ```\n> never ends\n> ```\n");
    }

    #[test]
    fn long_text_is_cut_at_a_word() {
        assert_eq!(one_line("one  two\nthree", 8), "one two …");
        assert_eq!(one_line("one two", 7), "one two");
        assert_eq!(one_line(&"x".repeat(500), 80), "x".repeat(80));
        assert_eq!(one_line("   ", 5), "");
    }
}
