//! Exports of password managers that are only read.

use crate::seed;

const SEEDS: [(&str, u8, &str); 16] = [
    (
        "1password",
        0,
        "Title,Url,Username,Password,OTPAuth,Favorite,Archived,Tags,Notes\na/b,https://a,u,p,AA,true,1,\"x;y,z\",n\n",
    ),
    (
        "apple",
        1,
        "Title,URL,Username,Password,Notes,OTPAuth\nA,https://a,u,p,n,AA\n",
    ),
    (
        "keepassxc",
        2,
        "\"Group\",\"Title\",\"Username\",\"Password\",\"URL\",\"Notes\",\"TOTP\",\"Icon\",\"Last Modified\"\n\"Root/a\",\"A\",\"u\",\"p\",\"\",\"n\",\"\",\"0\",\"2024-05-01T10:00:00Z\"\n",
    ),
    (
        "keepass",
        3,
        "\u{feff}\"Account\";\"Login Name\";\"Password\";\"Web Site\";\"Comments\"\r\n\"A\";\"u\";\"p\";\"\";\"\"\r\n",
    ),
    (
        "proton-csv",
        4,
        "type,name,url,email,username,password,note,totp,createTime,modifyTime,vault\ncreditCard,C,\"a, https://b\",,,,\"{\"\"number\"\":\"\"4\"\",\"\"x\"\":[1]}\",,1,2,V\n",
    ),
    (
        "nordpass",
        5,
        "name,url,additional_urls,password,cardnumber,expirydate,folder,type,custom_fields\na,b,\"[\"\"c\"\"]\",p,4,03/27,f/g,credit_card,\"[{\"\"label\"\":\"\"l\"\",\"\"type\"\":\"\"hidden\"\",\"\"value\"\":\"\"v\"\"}]\"\nf,,,,,,,folder,\n",
    ),
    (
        "dashlane",
        6,
        "type,account_name,account_holder,cc_number,code,expiration_month,expiration_year,name\npayment_card,V,A,4,1,3,2029,\n",
    ),
    (
        "roboform",
        7,
        "Name,Url,MatchUrl,Login,Pwd,Note,Folder,RfFieldsV2\nA,a,a,u,'p,n,/f,\"U$,,,txt,u\",\"TOTP KEY$,,,txt,AA\"\n",
    ),
    ("mapped", 8, "Secret,Titel,x,x\np,A,1,2\n"),
    (
        "proton",
        9,
        r#"{"version":"1","encrypted":false,"vaults":{"v":{"name":"V","items":[{"state":1,"pinned":true,"modifyTime":2,"files":["x"],"data":{"metadata":{"name":"a","note":"n"},"extraFields":[{"fieldName":"f","type":"totp","data":{"totpUri":"o"}}],"type":"login","content":{"itemEmail":"e","urls":["u"],"x":{"y":1}}}}]}}}"#,
    ),
    (
        "enpass",
        10,
        r#"{"folders":[{"uuid":"f","parent_uuid":"f","title":"F"}],"items":[{"category":"creditcard","template_type":"t","title":"a","folders":["f"],"favorite":1,"note":"n","fields":[{"type":"section","label":"s"},{"type":"ccExpiry","label":"e","value":"1/30","sensitive":1},{"type":"password","value":"p","history":[{}]}],"attachments":[{"name":"b","data":"AA=="}]}]}"#,
    ),
    (
        "keeper",
        11,
        r#"{"records":[{"title":"a","$type":"bankCard","login":"u","folders":[{"folder":"a\\b"},{"shared_folder":"c"}],"custom_fields":{"$paymentCard::1":{"cardNumber":"4","cardExpirationDate":"04/30"},"$text:l:1":"v","x":"otpauth://totp/a"}}]}"#,
    ),
    (
        "1pif",
        12,
        "{\"uuid\":\"f\",\"typeName\":\"system.folder.Regular\",\"title\":\"F\"}\n***5642bee8-a5ff-11dc-8314-0800200c9a66***\n{\"typeName\":\"webforms.WebForm\",\"title\":\"a\",\"folderUuid\":\"f\",\"location\":\"l\",\"secureContents\":{\"URLs\":[{\"url\":\"u\"}],\"fields\":[{\"value\":\"p\",\"designation\":\"password\",\"type\":\"P\"}],\"sections\":[{\"title\":\"s\",\"fields\":[{\"k\":\"concealed\",\"n\":\"TOTP_1\",\"t\":\"t\",\"v\":\"AA\"}]}],\"x\":1}}\n",
    ),
    (
        "bitwarden-zip",
        13,
        r#"{"folders":[],"items":[{"id":"1","type":6,"name":"a","bankAccount":{"iban":"i"},"attachments":[{"fileName":"x"}]}]}"#,
    ),
    (
        "proton-zip",
        14,
        r#"{"version":"1","encrypted":false,"vaults":{"v":{"items":[{"files":["x"],"data":{"type":"note","metadata":{"name":"a"}}}]}}}"#,
    ),
    (
        "dashlane-zip",
        15,
        "username,title,password,note,url,category,otpUrl\nu,t,p,n,a,c,o\n",
    ),
];

pub fn write() {
    for (name, choice, content) in SEEDS {
        seed("exports", name, choice, content);
    }
}
