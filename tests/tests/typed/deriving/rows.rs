//! Forms of rows: borrowed, private, or also a row of Diesel; and their companions.

use super::*;

mod borrowed {
    use super::*;
    use schema::{seats, users};

    #[derive(Debug, PartialEq, Tracked)]
    #[diesel(table_name = users)]
    pub struct User<'a, 'b> {
        id: i32,
        name: &'a str,
        email: Option<Cow<'b, str>>,
        avatar: Option<&'a [u8]>,
    }

    #[derive(Debug, PartialEq, Tracked)]
    #[diesel(table_name = seats)]
    struct Seat<'s> {
        row: i32,
        free: bool,
        flight: &'s str,
    }

    #[derive(Debug, PartialEq, Tracked)]
    enum Both<'x, 'y> {
        Users(Change<User<'x, 'x>>),
        Seats(Change<Seat<'y>>),
    }

    #[test]
    fn rows_that_borrow_copy_nothing() {
        let (changes, patches) = recorded(
            &format!("{USERS}{SEATS} INSERT INTO seats VALUES ('LH1', 1, 7)"),
            "INSERT INTO users VALUES (1, 'Ada', 'ada@example.org', x'0102'); DELETE FROM seats",
        );
        let bytes = changes.as_bytes().as_ptr_range();
        let is_inside = |part: &[u8]| bytes.contains(&part.as_ptr());
        let mut seen = 0;
        for change in changes.changes::<Both<'_, '_>>() {
            match change.unwrap() {
                Both::Users(Change::Insert(User { id: 1, name: "Ada", email: Some(Cow::Borrowed(email)), avatar })) => {
                    assert!(is_inside(email.as_bytes()) && is_inside(avatar.unwrap()));
                    seen += 1;
                }
                Both::Seats(Change::Delete(seat)) => {
                    assert!(seat.row == 7 && seat.free && is_inside(seat.flight.as_bytes()));
                    seen += 10;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(seen, 11);
        let key = patches.patches::<Patch<Seat<'_>>>().skip_unknown_tables().next();
        assert_eq!(key, Some(Ok(Patch::Delete((7, "LH1")))));
    }

    #[test]
    fn borrowed_rows_outlive_the_iterator() {
        let (changes, _) = recorded(USERS, "INSERT INTO users VALUES (1, 'Ada', NULL, NULL)");
        let mut rows: Vec<Change<User<'_, '_>>> = changes.changes().collect::<Result<_, _>>().unwrap();
        let Some(Change::Insert(user)) = rows.pop() else { panic!("{rows:?}") };
        drop(rows);
        assert_eq!(user.name, "Ada");
    }
}

mod visibility {
    use super::*;
    use schema::users;

    // a private type whose values only its module can create
    #[derive(Debug, PartialEq, diesel::deserialize::FromSqlRow)]
    struct Email(String);

    impl<'a> diesel_sqlite_session::typed::FromSqlValue<'a, diesel::sql_types::Text> for Email {
        fn from_sql_value(
            value: diesel_sqlite_session::Value<'a>,
        ) -> Result<Self, diesel_sqlite_session::typed::ValueError> {
            <String as diesel_sqlite_session::typed::FromSqlValue<diesel::sql_types::Text>>::from_sql_value(value)
                .map(Self)
        }
    }

    #[derive(Debug, PartialEq, Tracked)]
    #[diesel(table_name = users)]
    struct Private {
        id: i32,
        name: String,
        email: Option<Email>,
        avatar: Option<Vec<u8>>,
    }

    #[derive(Debug, PartialEq, Tracked)]
    #[diesel(table_name = users, primary_key(id))]
    pub(crate) struct InCrate {
        pub(crate) id: i32,
        pub(in crate::typed::deriving) name: String,
        email: Option<Email>,
        avatar: Option<Vec<u8>>,
    }

    // with a declared key, the types of the other columns need not be public
    #[derive(Debug, PartialEq, Tracked)]
    #[diesel(table_name = users, primary_key(id))]
    pub struct Public {
        id: i32,
        name: String,
        email: Option<Email>,
        avatar: Option<Vec<u8>>,
    }

    #[test]
    fn rows_may_be_private_and_contain_private_types() {
        let (changes, _) = recorded(USERS, "INSERT INTO users VALUES (1, 'Ada', 'ada@example.org', NULL)");
        let email = || Some(Email("ada@example.org".into()));
        let private = Private { id: 1, name: "Ada".into(), email: email(), avatar: None };
        assert_eq!(changes.changes().next(), Some(Ok(Change::<Private>::Insert(private))));
        let in_crate = InCrate { id: 1, name: "Ada".into(), email: email(), avatar: None };
        assert_eq!(changes.changes().next(), Some(Ok(Change::<InCrate>::Insert(in_crate))));
        let public = Public { id: 1, name: "Ada".into(), email: email(), avatar: None };
        assert_eq!(changes.changes().next(), Some(Ok(Change::<users::table>::Insert(public))));
        assert_eq!(
            InCrateUpdate { id: 1, name: Field::Unchanged, email: Field::Unchanged, avatar: Field::Unchanged }.id,
            1
        );
    }
}

mod beside_diesel {
    use super::*;
    use diesel::associations::Associations;

    diesel::table! {
        posts (id) {
            id -> Integer,
            user_id -> Integer,
            title -> Text,
            stars -> Nullable<Integer>,
        }
    }
    diesel::table! {
        owners (id) {
            id -> Integer,
        }
    }
    diesel::joinable!(posts -> owners (user_id));
    diesel::allow_tables_to_appear_in_same_query!(posts, owners);

    #[derive(Debug, Clone, PartialEq, Identifiable, Queryable, Tracked)]
    #[diesel(table_name = owners)]
    pub struct Owner {
        id: i32,
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    pub struct Stars(i32);
    impl From<Option<i32>> for Stars {
        fn from(stars: Option<i32>) -> Self {
            Self(stars.unwrap_or(0))
        }
    }
    impl From<Stars> for Option<i32> {
        fn from(stars: Stars) -> Self {
            Some(stars.0)
        }
    }

    #[derive(
        Debug, Clone, PartialEq, Queryable, Selectable, Insertable, Identifiable, AsChangeset, Associations, Tracked,
    )]
    #[diesel(table_name = posts)]
    #[diesel(primary_key(id), belongs_to(Owner, foreign_key = user_id))]
    #[diesel(treat_none_as_null = true, check_for_backend(diesel::sqlite::Sqlite))]
    pub struct Post {
        #[diesel(skip_update)]
        id: i32,
        #[diesel(column_name = user_id)]
        owner: i32,
        #[diesel(select_expression = posts::title, select_expression_type = diesel::dsl::Select<posts::table, posts::title>)]
        #[cfg(any())]
        never: (),
        title: String,
        #[diesel(deserialize_as = Option<i32>, serialize_as = Option<i32>)]
        stars: Stars,
    }

    // loaded, and never written
    #[derive(Debug, PartialEq)]
    pub struct Length(usize);
    impl TryFrom<String> for Length {
        type Error = String;
        fn try_from(text: String) -> Result<Self, String> {
            if text.is_empty() { Err("nothing".into()) } else { Ok(Self(text.len())) }
        }
    }

    #[derive(Debug, PartialEq, Queryable, Tracked)]
    #[diesel(table_name = posts)]
    #[tracked(row_only)]
    pub struct Lengths {
        id: i32,
        user_id: i32,
        #[diesel(deserialize_as = String, serialize_as = String)]
        title: Length,
        stars: Option<i32>,
    }

    const POSTS: &str =
        "CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, title TEXT NOT NULL, stars INTEGER);";

    #[test]
    fn attributes_of_diesels_derives_are_followed_or_ignored() {
        let (changes, _) = recorded(POSTS, "INSERT INTO posts VALUES (1, 2, 'three', NULL)");
        let post = Post { id: 1, owner: 2, title: "three".into(), stars: Stars(0) };
        assert_eq!(changes.changes().next(), Some(Ok(Change::<posts::table>::Insert(post))));
        let lengths = Lengths { id: 1, user_id: 2, title: Length(5), stars: None };
        assert_eq!(changes.changes().next(), Some(Ok(Change::<Lengths>::Insert(lengths))));

        let (changes, _) = recorded(POSTS, "INSERT INTO posts VALUES (1, 2, '', NULL)");
        let error = changes.changes::<Change<Lengths>>().next().unwrap().unwrap_err();
        assert!(error.to_string().starts_with("table posts, column title (Text), at byte "), "{error}");
        assert!(error.to_string().ends_with(": nothing, found text ''"), "{error}");
    }
}

mod companions {
    use super::*;
    use diesel_sqlite_session::Value;
    use diesel_sqlite_session::typed::{FromSqlValue, ValueError};
    use schema::ids;

    /// A type without any trait.
    pub struct Opaque(i64);
    impl<'a> FromSqlValue<'a, diesel::sql_types::BigInt> for Opaque {
        fn from_sql_value(value: Value<'a>) -> Result<Self, ValueError> {
            i64::from_sql_value(value).map(Self)
        }
    }

    #[derive(Tracked)]
    #[diesel(table_name = ids)]
    #[tracked(row_only)]
    pub struct Silent {
        id: Opaque,
    }

    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Tracked)]
    #[diesel(table_name = ids)]
    #[allow(dead_code)]
    #[tracked(row_only, derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash))]
    pub struct Loud {
        id: i64,
    }

    trait Not {
        const DEBUG: bool = false;
        const CLONE: bool = false;
        const EQ: bool = false;
    }
    struct Has<T>(std::marker::PhantomData<T>);
    impl<T> Not for Has<T> {}
    impl<T: std::fmt::Debug> Has<T> {
        const DEBUG: bool = true;
    }
    impl<T: Clone> Has<T> {
        const CLONE: bool = true;
    }
    impl<T: PartialEq> Has<T> {
        const EQ: bool = true;
    }

    #[test]
    fn companions_have_the_traits_of_their_fields() {
        assert_eq!(
            (Has::<SilentUpdate>::DEBUG, Has::<SilentUpdate>::CLONE, Has::<SilentPatch>::EQ),
            (false, false, false)
        );
        assert_eq!((Has::<LoudUpdate>::DEBUG, Has::<LoudUpdate>::CLONE, Has::<LoudPatch>::EQ), (true, true, true));
        type Line = crate::typed::deriving::tables::rowids::LineUpdate;
        assert_eq!((Has::<Line>::DEBUG, Has::<Line>::CLONE, Has::<Line>::EQ), (true, true, true));
        assert!(LoudUpdate { id: 1 } < LoudUpdate { id: 2 });
        let (changes, _) = recorded("CREATE TABLE ids (id BIGINT PRIMARY KEY NOT NULL)", "INSERT INTO ids VALUES (5)");
        let Some(Ok(Change::<Silent>::Insert(row))) = changes.changes().next() else { panic!("{changes:?}") };
        assert_eq!(row.id.0, 5);
    }
}
