//! The request of a `grpc` step.

use crate::definition::table::{Shape, Table, field};

pub(crate) static GRPC: Table = Table {
    name: "a call",
    groups: &[&[
        field(
            "url",
            Shape::TextTemplate,
            "The server: `http://host:port`, or `https://host:port` for TLS.",
        )
        .required(),
        field(
            "service",
            Shape::TextTemplate,
            "The service with its package, as `grpc.health.v1.Health`.",
        )
        .required(),
        field("method", Shape::TextTemplate, "The method's name.").required(),
        field(
            "message",
            Shape::MappingTemplate,
            "The message, in the JSON form of Protocol Buffers.",
        )
        .default("the empty message"),
        field(
            "metadata",
            Shape::MappingTemplate,
            "Texts, numbers, booleans, or lists of these, by lower-case names.",
        ),
        field(
            "secrets",
            Shape::MappingTemplate,
            "Metadata from secrets: each a secret's name, or `{ name, prefix, suffix }`.",
        ),
        field("timeout", Shape::Duration, "Of one attempt.").default("`start_to_close_timeout`"),
    ]],
};
