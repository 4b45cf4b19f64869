//! `${VARIABLE}` in scalar values (specification, configuration/data-model.md "Environment variable substitution").

use crate::config::Source;

/// Replaces references in a scalar by the values of variables, and `$$` by `$`. What is put in is not looked at again.
///
/// # Errors
/// Says which reference is none. No value of a variable is in it.
pub(super) fn substitute(text: &str, source: &Source) -> Result<String, String> {
    let mut result = String::with_capacity(text.len());
    // an escape ends what a reference may reach over
    for (index, part) in text.split("$$").enumerate() {
        if index > 0 {
            result.push('$');
        }
        references(part, source, &mut result)?;
    }
    Ok(result)
}

fn references(mut rest: &str, source: &Source, result: &mut String) -> Result<(), String> {
    while let Some(begin) = rest.find("${") {
        let (before, reference) = rest.split_at(begin);
        let content = &reference[2..];
        // without an end there is no reference any more
        let Some(end) = content.find('}') else { break };
        result.push_str(before);
        if end == 0 {
            result.push_str("${");
            rest = content;
            continue;
        }
        result.push_str(&value(&content[..end], source)?);
        rest = &content[end + 1..];
    }
    result.push_str(rest);
    Ok(())
}

fn value(reference: &str, source: &Source) -> Result<String, String> {
    let wrong = || {
        format!(
            "${{{}}} is no reference; accepted are ${{NAME}}, ${{env:NAME}} and ${{NAME:-default}}, and $$ for a \
             dollar sign",
            reference.escape_debug()
        )
    };
    let plain = reference.strip_prefix("env:").unwrap_or(reference);
    let (name, default) = match plain.split_once(':') {
        None => (plain, None),
        Some((name, rest)) => (name, Some(rest.strip_prefix('-').ok_or_else(wrong)?)),
    };
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let named = begins && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let printable = |text: &str| text.chars().all(|c| c == '\t' || !c.is_control());
    if !named || !default.is_none_or(printable) {
        return Err(wrong());
    }
    let found = source.exact(name).filter(|value| !value.is_empty());
    Ok(found.unwrap_or_else(|| default.unwrap_or_default().to_owned()))
}
