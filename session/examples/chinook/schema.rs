// @generated automatically by Diesel CLI.

diesel::table! {
    Album (AlbumId) {
        AlbumId -> Integer,
        Title -> Text,
        ArtistId -> Integer,
    }
}

diesel::table! {
    Artist (ArtistId) {
        ArtistId -> Integer,
        Name -> Nullable<Text>,
    }
}

diesel::table! {
    Customer (CustomerId) {
        CustomerId -> Integer,
        FirstName -> Text,
        LastName -> Text,
        Company -> Nullable<Text>,
        Address -> Nullable<Text>,
        City -> Nullable<Text>,
        State -> Nullable<Text>,
        Country -> Nullable<Text>,
        PostalCode -> Nullable<Text>,
        Phone -> Nullable<Text>,
        Fax -> Nullable<Text>,
        Email -> Text,
        SupportRepId -> Nullable<Integer>,
    }
}

diesel::table! {
    Employee (EmployeeId) {
        EmployeeId -> Integer,
        LastName -> Text,
        FirstName -> Text,
        Title -> Nullable<Text>,
        ReportsTo -> Nullable<Integer>,
        BirthDate -> Nullable<Timestamp>,
        HireDate -> Nullable<Timestamp>,
        Address -> Nullable<Text>,
        City -> Nullable<Text>,
        State -> Nullable<Text>,
        Country -> Nullable<Text>,
        PostalCode -> Nullable<Text>,
        Phone -> Nullable<Text>,
        Fax -> Nullable<Text>,
        Email -> Nullable<Text>,
    }
}

diesel::table! {
    Genre (GenreId) {
        GenreId -> Integer,
        Name -> Nullable<Text>,
    }
}

diesel::table! {
    Invoice (InvoiceId) {
        InvoiceId -> Integer,
        CustomerId -> Integer,
        InvoiceDate -> Timestamp,
        BillingAddress -> Nullable<Text>,
        BillingCity -> Nullable<Text>,
        BillingState -> Nullable<Text>,
        BillingCountry -> Nullable<Text>,
        BillingPostalCode -> Nullable<Text>,
        Total -> Double,
    }
}

diesel::table! {
    InvoiceLine (InvoiceLineId) {
        InvoiceLineId -> Integer,
        InvoiceId -> Integer,
        TrackId -> Integer,
        UnitPrice -> Double,
        Quantity -> Integer,
    }
}

diesel::table! {
    MediaType (MediaTypeId) {
        MediaTypeId -> Integer,
        Name -> Nullable<Text>,
    }
}

diesel::table! {
    Playlist (PlaylistId) {
        PlaylistId -> Integer,
        Name -> Nullable<Text>,
    }
}

diesel::table! {
    PlaylistTrack (PlaylistId, TrackId) {
        PlaylistId -> Integer,
        TrackId -> Integer,
    }
}

diesel::table! {
    Track (TrackId) {
        TrackId -> Integer,
        Name -> Text,
        AlbumId -> Nullable<Integer>,
        MediaTypeId -> Integer,
        GenreId -> Nullable<Integer>,
        Composer -> Nullable<Text>,
        Milliseconds -> Integer,
        Bytes -> Nullable<Integer>,
        UnitPrice -> Double,
    }
}

diesel::joinable!(Album -> Artist (ArtistId));
diesel::joinable!(Customer -> Employee (SupportRepId));
diesel::joinable!(Invoice -> Customer (CustomerId));
diesel::joinable!(InvoiceLine -> Invoice (InvoiceId));
diesel::joinable!(InvoiceLine -> Track (TrackId));
diesel::joinable!(PlaylistTrack -> Playlist (PlaylistId));
diesel::joinable!(PlaylistTrack -> Track (TrackId));
diesel::joinable!(Track -> Album (AlbumId));
diesel::joinable!(Track -> Genre (GenreId));
diesel::joinable!(Track -> MediaType (MediaTypeId));

diesel::allow_tables_to_appear_in_same_query!(
    Album,
    Artist,
    Customer,
    Employee,
    Genre,
    Invoice,
    InvoiceLine,
    MediaType,
    Playlist,
    PlaylistTrack,
    Track,
);
