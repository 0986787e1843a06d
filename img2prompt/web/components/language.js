export default function ({ data }) {
    document.documentElement.lang = data; // screen readers choose their voice by it
}
