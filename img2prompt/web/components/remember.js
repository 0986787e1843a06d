// For a year, in this browser only; the server reads it when the next visit begins.
export default function ({ data }) {
    document.cookie = `${data.name}=${data.value}; path=/; max-age=31536000; SameSite=Lax`;
}
