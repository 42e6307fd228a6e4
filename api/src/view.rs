//! Objects of the API that show a row of the domain, or contain the members of a row that clients write.

/// Declares an object of the API and its conversion from a row: every member is the row's member of the same name,
/// converted with `Into`.
///
/// ```ignore
/// view! {
///     /// A style card.
///     pub struct Style from styles::Style {
///         /// Identifies the style card.
///         id: Uuid,
///     }
/// }
/// ```
///
/// Parts that are converted one by one, such as the steps of a prompt, follow in a block of their own: `} with { … }`.
macro_rules! view {
    ($(#[$meta:meta])* pub struct $name:ident from $row:ty {
        $($(#[$member_meta:meta])* $member:ident: $type:ty,)*
    } $(with {
        $($(#[$parts_meta:meta])* $parts:ident: Vec<$part:ty>,)*
    })?) => {
        $(#[$meta])*
        #[derive(Clone, Debug, poem_openapi::Object)]
        pub struct $name {
            $($(#[$member_meta])* pub $member: $type,)*
            $($($(#[$parts_meta])* pub $parts: Vec<$part>,)*)?
        }

        impl From<$row> for $name {
            fn from(row: $row) -> Self {
                Self {
                    $($member: row.$member.into(),)*
                    $($($parts: row.$parts.into_iter().map(Into::into).collect(),)*)?
                }
            }
        }
    };
}
pub(crate) use view;

/// Like [`view!`], for the members of a row that clients write. They can also be set on a row.
macro_rules! fields {
    ($(#[$meta:meta])* pub struct $name:ident of $row:ty {
        $($(#[$member_meta:meta])* $member:ident: $type:ty,)*
    } $(with {
        $($(#[$parts_meta:meta])* $parts:ident: Vec<$part:ty>,)*
    })?) => {
        $(#[$meta])*
        #[derive(Clone, Debug, poem_openapi::Object)]
        pub struct $name {
            $($(#[$member_meta])* pub $member: $type,)*
            $($($(#[$parts_meta])* pub $parts: Vec<$part>,)*)?
        }

        impl From<&$row> for $name {
            fn from(row: &$row) -> Self {
                Self {
                    $($member: row.$member.clone().into(),)*
                    $($($parts: row.$parts.iter().cloned().map(Into::into).collect(),)*)?
                }
            }
        }

        impl $name {
            /// Sets the members on the row.
            fn set(&self, row: &mut $row) {
                $(row.$member = self.$member.clone().into();)*
                $($(row.$parts = self.$parts.iter().cloned().map(Into::into).collect();)*)?
            }
        }
    };
}
pub(crate) use fields;
