//! How messages with a password, a hash of one or a token are shown: without it.
//!
//! What is shown may end in a log, and a log is read by more people than the store.

use crate::{authpb, etcdserverpb as pb};
use std::fmt::{Debug, Formatter, Result};

impl Debug for authpb::User {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { name, password, roles, options } = self;
        f.debug_struct("User")
            .field("name", name)
            .field("password", &Hidden::of(password))
            .field("roles", roles)
            .field("options", options)
            .finish()
    }
}

impl Debug for pb::InternalAuthenticateRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { name, password, simple_token } = self;
        f.debug_struct("InternalAuthenticateRequest")
            .field("name", name)
            .field("password", &Hidden::of(password))
            .field("simple_token", &Hidden::of(simple_token))
            .finish()
    }
}

impl Debug for pb::AuthenticateRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { name, password } = self;
        f.debug_struct("AuthenticateRequest")
            .field("name", name)
            .field("password", &Hidden::of(password))
            .finish()
    }
}

impl Debug for pb::AuthenticateResponse {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { header, token } = self;
        f.debug_struct("AuthenticateResponse")
            .field("header", header)
            .field("token", &Hidden::of(token))
            .finish()
    }
}

impl Debug for pb::AuthUserAddRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { name, password, options, hashed_password } = self;
        f.debug_struct("AuthUserAddRequest")
            .field("name", name)
            .field("password", &Hidden::of(password))
            .field("options", options)
            .field("hashed_password", &Hidden::of(hashed_password))
            .finish()
    }
}

impl Debug for pb::AuthUserChangePasswordRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { name, password, hashed_password } = self;
        f.debug_struct("AuthUserChangePasswordRequest")
            .field("name", name)
            .field("password", &Hidden::of(password))
            .field("hashed_password", &Hidden::of(hashed_password))
            .finish()
    }
}

/// Stands for a secret: only whether there is one is told.
enum Hidden {
    Empty,
    Some,
}

impl Hidden {
    fn of(secret: impl AsRef<[u8]>) -> Self {
        if secret.as_ref().is_empty() { Self::Empty } else { Self::Some }
    }
}

impl Debug for Hidden {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::Empty => "(none)",
            Self::Some => "(hidden)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use prost_types::FileDescriptorSet;
    use prost_types::field_descriptor_proto::Type;

    const SECRET: &str = "pa55word";

    #[test]
    fn no_secret_is_shown_and_the_rest_is() {
        let secret = || SECRET.to_owned();
        let name = || "ada".to_owned();
        let user =
            authpb::User { name: name().into(), password: secret().into(), ..Default::default() };
        let login = pb::AuthenticateRequest { name: name(), password: secret() };
        let internal = pb::InternalAuthenticateRequest {
            name: name(),
            password: secret(),
            simple_token: secret(),
        };
        let add = pb::AuthUserAddRequest {
            name: name(),
            password: secret(),
            hashed_password: secret(),
            ..Default::default()
        };
        let change = pb::AuthUserChangePasswordRequest {
            name: name(),
            password: secret(),
            hashed_password: secret(),
        };
        let entry = pb::InternalRaftRequest {
            authenticate: Some(internal.clone()),
            auth_user_add: Some(add.clone()),
            auth_user_change_password: Some(change.clone()),
            ..Default::default()
        };
        let shown: [&dyn Debug; 6] = [&user, &login, &internal, &add, &change, &entry];
        for shown in shown.map(|message| format!("{message:?} {message:#?}")) {
            assert!(!shown.contains(SECRET), "{shown}");
            assert!(shown.contains("ada") && shown.contains("(hidden)"), "{shown}");
        }
        let answer = pb::AuthenticateResponse { header: None, token: secret() };
        assert_eq!(format!("{answer:?}"), "AuthenticateResponse { header: None, token: (hidden) }");
        let none = pb::AuthenticateRequest { name: name(), ..Default::default() };
        assert_eq!(format!("{none:?}"), "AuthenticateRequest { name: \"ada\", password: (none) }");
    }
    /// Whoever adds a message with a secret to the sources must say here how it is shown.
    #[test]
    fn every_message_with_a_secret_is_among_them() {
        let all = FileDescriptorSet::decode(crate::FILE_DESCRIPTOR_SET).unwrap();
        let mut found: Vec<String> = Vec::new();
        for file in &all.file {
            for message in &file.message_type {
                let secret = message.field.iter().any(|field| {
                    let text = matches!(field.r#type(), Type::String | Type::Bytes);
                    text && ["password", "token"].iter().any(|word| field.name().contains(word))
                });
                if secret {
                    found.push(format!("{}.{}", file.package(), message.name()));
                }
            }
        }
        found.sort();
        assert_eq!(
            found,
            [
                "authpb.User",
                "etcdserverpb.AuthUserAddRequest",
                "etcdserverpb.AuthUserChangePasswordRequest",
                "etcdserverpb.AuthenticateRequest",
                "etcdserverpb.AuthenticateResponse",
                "etcdserverpb.InternalAuthenticateRequest",
            ]
        );
    }
}
