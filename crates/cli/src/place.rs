//! `where`: on which disks an object is.

use std::fmt::Write;

use strongroom_admin_api::{ObjectPlaces, PartPlaces, ShardRole, ShardState, Stored, WhereRequest};

use crate::show::{Table, escaped, size};
use crate::{Admin, CliError, command, json_text};

pub(crate) async fn place(admin: &Admin, flags: &command::Where) -> Result<String, CliError> {
    let (bucket, key) = bucket_and_key(&flags.object)?;
    let mut request = WhereRequest {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        version_id: flags.version_id.clone(),
        verify: flags.verify.then_some(true),
        after: None,
        limit: None,
    };
    let mut found = admin.where_is(&request).await?;
    while found.next.is_some() {
        request.after = found.next;
        let more = admin.where_is(&request).await?;
        if more.last_modified != found.last_modified || more.bytes != found.bytes {
            let message = "the object changed while its parts were looked for: ask again";
            return Err(CliError::NoAnswer(message.to_owned()));
        }
        found.parts.extend(more.parts);
        found.next = more.next;
    }
    Ok(if flags.connect.json {
        json_text(&found)
    } else {
        text(&found)
    })
}

fn bucket_and_key(object: &str) -> Result<(&str, &str), CliError> {
    let rest = object.strip_prefix("s3://");
    match rest.and_then(|rest| rest.split_once('/')) {
        Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => Ok((bucket, key)),
        _ => Err(CliError::Usage(format!(
            "`{}` is no object: write s3://BUCKET/KEY",
            escaped(object)
        ))),
    }
}

fn text(found: &ObjectPlaces) -> String {
    let (bucket, key) = (escaped(&found.bucket), escaped(&found.key));
    let mut text = format!("s3://{bucket}/{key}\n");
    let _ = writeln!(
        text,
        "{}, modified {}",
        size(found.bytes),
        found.last_modified
    );
    if let Some(version) = &found.version_id {
        let _ = writeln!(text, "version {}", escaped(version));
    }
    for part in &found.parts {
        part_text(&mut text, part);
    }
    text
}

fn part_text(text: &mut String, part: &PartPlaces) {
    let name = part
        .number
        .map_or("all of it".to_owned(), |number| format!("part {number}"));
    let blob = part.blob.as_deref().unwrap_or_default();
    let how = match part.stored {
        Stored::Empty => "no bytes".to_owned(),
        Stored::Log => format!("in the commit log of every zone in service, blob {blob}"),
        Stored::Shards if part.reduced => {
            format!("with less redundancy than asked for, blob {blob}")
        }
        Stored::Shards => format!("blob {blob}"),
        Stored::Pack => {
            let pack = part.pack.as_deref().unwrap_or_default();
            let offset = part.pack_offset.unwrap_or_default();
            let less = match part.reduced {
                true => "with less redundancy than asked for, ",
                false => "",
            };
            format!("{less}blob {blob}, at byte {offset} of pack {pack}, which is here:")
        }
    };
    let _ = writeln!(text, "\n{name}: {}, {how}", size(part.bytes));
    for run in &part.runs {
        let stripes = run.stripes;
        let _ = writeln!(
            text,
            "{stripes} stripes of {}+{} shards, at byte {} of each segment",
            run.data_shards, run.parity_shards, run.offset
        );
        let mut table = Table::new(&["SHARD", "ROLE", "STATE", "ZONE", "DISK", "SEGMENT"], &[0]);
        for shard in &run.shards {
            let unknown = || "?".to_owned();
            table.row([
                shard.index.to_string(),
                role(shard.role).to_owned(),
                state(shard.state).to_owned(),
                shard.zone.clone().unwrap_or_else(unknown),
                shard.disk.clone().unwrap_or_else(unknown),
                shard.segment.clone(),
            ]);
        }
        text.push_str(&table.text());
    }
}

const fn role(role: ShardRole) -> &'static str {
    match role {
        ShardRole::Data => "data",
        ShardRole::Parity => "parity",
    }
}

const fn state(state: ShardState) -> &'static str {
    match state {
        ShardState::Present => "present",
        ShardState::Verified => "verified",
        ShardState::Damaged => "damaged",
        ShardState::Missing => "missing",
        ShardState::Out => "out",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_a_bucket_and_a_key() {
        assert_eq!(bucket_and_key("s3://b/k/l//").unwrap(), ("b", "k/l//"));
        for text in [
            "", "b/k", "s3://", "s3://b", "s3://b/", "s3:///k", "S3://b/k",
        ] {
            assert_eq!(bucket_and_key(text).unwrap_err().exit_code(), 2, "{text}");
        }
    }
}
