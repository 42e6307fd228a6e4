//! Objects of the API that show a row of the domain, or say what it consists of.

/// Declares an object of the API and how it is made of a row: every member is the row's member of the same name, converted
/// with `Into`.
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
macro_rules! view {
    ($(#[$meta:meta])* pub struct $name:ident from $row:ty {
        $($(#[$member_meta:meta])* $member:ident: $type:ty,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, poem_openapi::Object)]
        pub struct $name {
            $($(#[$member_meta])* pub $member: $type,)*
        }

        impl From<$row> for $name {
            fn from(row: $row) -> Self {
                Self { $($member: row.$member.into(),)* }
            }
        }
    };
}
pub(crate) use view;

/// As [`view!`], for the members of a row that clients write: they can be set on the row too.
macro_rules! fields {
    ($(#[$meta:meta])* pub struct $name:ident of $row:ty {
        $($(#[$member_meta:meta])* $member:ident: $type:ty,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, poem_openapi::Object)]
        pub struct $name {
            $($(#[$member_meta])* pub $member: $type,)*
        }

        impl From<&$row> for $name {
            fn from(row: &$row) -> Self {
                Self { $($member: row.$member.clone().into(),)* }
            }
        }

        impl $name {
            /// Sets the members on the row.
            fn set(&self, row: &mut $row) {
                $(row.$member = self.$member.clone().into();)*
            }
        }
    };
}
pub(crate) use fields;
